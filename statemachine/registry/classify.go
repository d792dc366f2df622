package registry

import (
	"maps"
	"slices"
)

// Classify names the kind of an operation or query, of a signed one that of the
// operation in the envelope, and tells whether it changes nothing. It is an
// access.Classifier.
func Classify(data []byte) (kind string, read bool) {
	k := KindOf(data)
	if k == 0 {
		return "", false
	}
	return k.String(), k.Read()
}

// Kinds returns all names that [Classify] gives: of operations that change something, and
// of reads. There is none of what is signed, which is called as what is in the envelope.
func Kinds() (submit, read []string) {
	for _, k := range slices.Sorted(maps.Keys(kindNames)) {
		switch {
		case k == KindSigned:
		case k.Read():
			read = append(read, k.String())
		default:
			submit = append(submit, k.String())
		}
	}
	return submit, read
}
