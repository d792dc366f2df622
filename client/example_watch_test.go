package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
)

// connect is what every program begins with: the cluster file and a key file of its own.
func connect(ctx context.Context) (*client.Client, error) {
	cluster, err := roster.Load("cluster.json")
	if err != nil {
		return nil, err
	}
	key, err := keyfile.LoadClient("client.key")
	if err != nil {
		return nil, err
	}
	return client.Dial(ctx, client.Config{Roster: cluster, Key: key.Signing})
}

// A linearizable read: all that was acknowledged to anybody before has its effect. If
// there is no such answer now, an operation that reads the same goes through the log.
func ExampleClient_Read() {
	ctx := context.Background()
	c, err := connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	query, operation := []byte("get balance/alice"), []byte("read balance/alice") // the application's own words
	answer, err := c.Read(ctx, query, operation)
	switch {
	case err != nil:
		log.Fatal(err)
	case answer.Logged != nil:
		fmt.Printf("%s, through the log\n", answer.Logged.Data)
	default:
		fmt.Printf("%s, as of height %d or later\n", answer.Data, answer.Height)
	}
}

// A read of the state as it was after a certain block.
func ExampleClient_ReadAt() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	answer, err := c.ReadAt(ctx, 1200, []byte("get balance/alice"))
	switch {
	case errors.Is(err, client.ErrPruned):
		fmt.Println("so old a state is not kept any more")
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Printf("%s\n", answer)
	}
}

// A certified read: one replica answers, and proves it. The proof is good for whoever has
// the cluster file, without asking anybody.
func ExampleClient_ReadCertified() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	// The own write is to be in it: so the state is waited for that has it.
	written, err := c.Do(ctx, []byte("set balance/alice 7"))
	if err != nil {
		log.Fatal(err)
	}
	key := []byte("balance/alice") // as the store has it
	state, err := c.ReadCertified(ctx, key, client.CertifiedOptions{MaxAge: time.Minute, MinHeight: written.Ref.Height})
	switch {
	case errors.Is(err, client.ErrTooOld):
		log.Fatal("no replica can prove a state that is new enough: ", err)
	case errors.Is(err, client.ErrNoProof):
		log.Fatal("this application proves nothing: ", err)
	case err != nil:
		log.Fatal(err)
	}
	if state.Proof.Present {
		fmt.Printf("%s at height %d, %v\n", state.Proof.Value, state.Height(), state.Time())
	} else {
		fmt.Println("there is no such key, and that is proved too")
	}

	// Whoever is shown the proof checks it with the cluster file alone.
	proof := state.Encode()
	cluster, err := roster.Load("cluster.json")
	if err != nil {
		log.Fatal(err)
	}
	shown, err := receipt.DecodeState(proof)
	if err != nil {
		log.Fatal(err)
	}
	if err := shown.Verify(cluster, key); err != nil {
		log.Fatal("a forgery: ", err)
	}
}

// A watch that survives its process: the cursor is stored in one step with what was made
// of the event, so nothing is lost and nothing happens twice.
func ExampleClient_Watch() {
	ctx := context.Background()
	c, err := connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	// A database would do this in one transaction; here one file is all there is.
	var saved struct {
		Cursor client.Cursor     `json:"cursor"`
		Orders map[string]string `json:"orders"`
	}
	saved.Cursor, saved.Orders = client.FromBeginning(), make(map[string]string)
	if b, err := os.ReadFile("orders.json"); err == nil {
		if err := json.Unmarshal(b, &saved); err != nil {
			log.Fatal(err)
		}
	}
	w := c.Watch(client.WatchOptions{
		From: saved.Cursor, Prefix: []byte("orders/"),
		Progress: true, // so that the cursor does not grow old while nobody orders
		Fault:    func(f client.WatchFault) { log.Printf("%s is %v: %v", f.Name, f.Kind, f.Err) },
	})
	for e, err := range w.All(ctx) {
		var compacted *client.CompactedError
		switch {
		case errors.As(err, &compacted):
			// What happened up to there is not to be had as events any more: read the state
			// anew, and go on from there.
			log.Fatal("begin again at ", compacted.Oldest)
		case err != nil:
			log.Fatal(err)
		}
		switch e.Kind {
		case client.Set:
			saved.Orders[string(e.Key)] = string(e.Value)
		case client.Deleted:
			delete(saved.Orders, string(e.Key))
		case client.Progress: // only the cursor is new
		}
		saved.Cursor = e.Cursor
		b, err := json.Marshal(saved)
		if err != nil {
			log.Fatal(err)
		}
		if err := errors.Join(os.WriteFile("orders.new", b, 0o600), os.Rename("orders.new", "orders.json")); err != nil {
			log.Fatal(err)
		}
	}
}

// Events one by one, with a limit to how long the next one is waited for.
func ExampleWatcher_Next() {
	ctx := context.Background()
	c, err := connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	w := c.Watch(client.WatchOptions{}) // from now on
	for {
		waiting, cancel := context.WithTimeout(ctx, time.Minute)
		e, err := w.Next(waiting)
		cancel()
		switch {
		case errors.Is(err, client.ErrUnavailable):
			fmt.Println("nothing for a minute, up to", w.Cursor())
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println(e.Height, e.Kind, string(e.Key), string(e.Value))
		}
	}
}

// What a watcher found out about replicas, for an operator.
func ExampleWatcher_Faults() {
	ctx := context.Background()
	c, err := connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	w := c.Watch(client.WatchOptions{From: client.FromBeginning()})
	if _, err := w.Next(ctx); err != nil {
		log.Fatal(err)
	}
	for replica, n := range w.Faults() {
		if n.Forged+n.Stale+n.Silent > 0 {
			fmt.Printf("replica %d: %d forged, %d stale, %d silent\n", replica, n.Forged, n.Stale, n.Silent)
		}
	}
}

// A cursor is stored as text.
func ExampleParseCursor() {
	text := client.FromBeginning().String()
	cursor, err := client.ParseCursor(text)
	fmt.Println(text, err, cursor == client.FromBeginning(), cursor.Height() == pbft.Height(0))
	_, err = client.ParseCursor("yesterday")
	fmt.Println(errors.Is(err, client.ErrCursor))
	// Output:
	// beginning <nil> true true
	// true
}
