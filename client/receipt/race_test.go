//go:build race

package receipt_test

const raceDetector = true
