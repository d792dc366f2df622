package statemachine

// room is what is left for the data of results: of one request, and of all that are over
// smallResult of one block. Whoever makes results takes from it as he goes, so that a block
// of short operations with long results (a megabyte has tens of thousands of them) is
// never in memory with all of these.
type room struct {
	limits  *Limits
	request int
	block   int64
}

// smallResult is the longest result that takes nothing from its block: whoever only wants
// to know that his operation ran does not depend on what others ask for in the same block.
const smallResult = 1024

func (l *Limits) room() *room { return &room{limits: l, block: l.MaxCacheBytes} }

// next begins with the results of another request.
func (m *room) next() { m.request = m.limits.MaxReplyBytes }

// fit returns a result, without its data if there is no room for them. What it returned
// once fits again, in a room that is as large and has had the same results.
func (m *room) fit(r Result) Result {
	n := len(r.Data)
	if n > m.limits.MaxResultBytes || n > m.request || n > smallResult && int64(n) > m.block {
		return Result{Code: CodeResultTooLarge}
	}
	m.request -= n
	if n > smallResult {
		m.block -= int64(n)
	}
	return r
}
