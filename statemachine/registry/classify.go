package registry

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
