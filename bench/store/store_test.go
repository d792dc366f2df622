package main

import "testing"

// Every system does what is measured of it.
func TestSystems(t *testing.T) {
	*keys = 3000
	for name, open := range systems {
		t.Run(name, func(t *testing.T) {
			s, err := open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.load(*keys); err != nil {
				t.Fatal(err)
			}
			for h := uint64(1); h < 5; h++ {
				for i := range 100 {
					k := key(i*7, *keys)
					if v, err := s.get(k); err != nil || string(v) != string(value(k, h-1)) {
						t.Fatalf("key %d before block %d: %x, %v", i*7, h, v, err)
					}
					s.set(k, value(k, h))
				}
				if _, err := s.commit(h); err != nil {
					t.Fatal(err)
				}
			}
			if err := reads(s, new(result), 4); err != nil {
				t.Fatal(err)
			}
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestTransfer(t *testing.T) {
	*keys = 5000
	if err := transfer(); err != nil {
		t.Fatal(err)
	}
}
