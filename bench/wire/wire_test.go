package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestCommand(t *testing.T) {
	c := Command(0xabc)
	id, ok := ID(c)
	if !ok || id != 0xabc || len(c) != CommandBytes {
		t.Fatalf("command %q has id %x, %v", c, id, ok)
	}
	signed := Sign(0xabc, c)
	if !Verify(signed) {
		t.Fatal("the signature is good")
	}
	signed[20] ^= 1
	if Verify(signed) || Verify(c) || Verify(nil) {
		t.Fatal("nothing of that is signed")
	}
	if _, ok := ID([]byte("x=y")); ok {
		t.Fatal("no command")
	}
}

type echo struct{}

func (echo) Propose(c []byte) ([]byte, error) {
	if len(c) == 0 {
		return nil, errors.New("empty")
	}
	return c, nil
}
func (echo) Leader() uint64 { return 7 }

func TestCalls(t *testing.T) {
	address := freeAddress(t)
	go func() { _ = ServeCalls(address, echo{}) }()
	c, err := DialCalls(address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if l, err := c.AskLeader(t.Context()); err != nil || l != 7 {
		t.Fatal(l, err)
	}
	var wg sync.WaitGroup
	for i := range uint64(100) {
		wg.Go(func() {
			want := binary.BigEndian.AppendUint64(nil, i)
			got, err := c.Do(t.Context(), KindPropose, want)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%x, %v", got, err)
			}
		})
	}
	wg.Wait()
	if _, err := c.Do(t.Context(), KindPropose, nil); err == nil || err.Error() != "empty" {
		t.Fatal(err)
	}
	c.Close()
	if _, err := c.Do(t.Context(), KindPropose, []byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}

// A command counts when enough different replicas have executed it, and goes to all
// of them when the first did not.
func TestNotices(t *testing.T) {
	var addresses []string
	servers := make([]*NoticeServer, 3)
	for i := range servers {
		servers[i] = &NoticeServer{}
		addresses = append(addresses, freeAddress(t))
		s := servers[i]
		if err := s.Listen(addresses[i], func(c []byte) {
			id, _ := ID(c)
			s.Executed([]uint64{id, id})
		}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := DialNotices(NoticeConfig{Addresses: addresses, Need: 2, Retry: 20 * time.Millisecond, Patience: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Do(t.Context(), Command(1)); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Do(ended, Command(2)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if len(c.waiting) != 0 {
		t.Fatal("it forgets what nobody waits for")
	}
}
