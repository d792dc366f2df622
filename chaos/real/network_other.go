//go:build !linux

package real

func newCabled(int) (*cabled, error)       { return nil, errNotHere }
func (h *cabled) unplug(int, bool) error   { return errNotHere }
func (h *cabled) cut(int, int, bool) error { return errNotHere }
