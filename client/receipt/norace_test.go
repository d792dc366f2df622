//go:build !race

package receipt_test

const raceDetector = false
