package chaos

import (
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// drawn is the model of all keys, with words for what is drawn.
var drawn = func() porcupine.Model {
	m := register
	m.Partition = func(ops []porcupine.Operation) (parts [][]porcupine.Operation) {
		index := map[string]int{}
		for _, op := range ops {
			key := op.Input.(Op).Key
			i, ok := index[key]
			if !ok {
				i = len(parts)
				index[key], parts = i, append(parts, nil)
			}
			parts[i] = append(parts[i], op)
		}
		return parts
	}
	m.DescribeOperation = func(in, out any) string {
		op, o := in.(Op), out.(Outcome)
		switch {
		case o.unknown:
			return op.String() + "?"
		case op.Kind == OpSwap && o.Swapped:
			return op.String() + ": done"
		case op.Kind == OpPut:
			return op.String()
		case !o.Found:
			return op.String() + ": nothing there"
		}
		return op.String() + ": " + o.Value
	}
	m.DescribeState = func(state any) string {
		if v := state.(value); v.found {
			return v.data
		}
		return "nothing"
	}
	return m
}()

// Draw writes porcupine's drawing of the history of a key-value store, a page with
// one part for each key, to a file. timeout bounds the search for the order of the operations; if it
// is over, the page shows what was found.
func (h *History) Draw(file string, timeout time.Duration) error {
	h.mu.Lock()
	ops := slices.DeleteFunc(slices.Clone(h.ops), func(op porcupine.Operation) bool {
		o, ran := op.Input.(Op)
		return !ran || o.Kind == OpOther || o.Kind == OpGet && op.Output.(Outcome).unknown
	})
	h.mu.Unlock()
	_, info := porcupine.CheckOperationsVerbose(drawn, ops, timeout)
	return porcupine.VisualizePath(drawn, info, file)
}
