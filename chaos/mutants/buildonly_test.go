package mutants

import (
	"os"
	"testing"
)

func TestBuildOnly(t *testing.T) {
	if d := os.Getenv("MUTDIR"); d != "" {
		p, err := Build(t.Context(), "../..", d)
		t.Log(p, err)
		if err != nil {
			t.Fatal(err)
		}
	}
}
