// Generals plays the Byzantine generals: four armies around a city, a commander
// who orders to attack or to retreat, and one traitor among the four. Run it:
//
//	go run ./examples/generals
//	go run ./examples/generals -seed 7
//
// Each general is a replica: the very code that runs in a server, on a disk in
// memory, with a seed that decides in which order messengers arrive. The commander
// is the primary of the first view, and signs the order with a key of his own. Four
// scenes are played: everybody loyal; a commander who says attack to two and
// retreat to one; a commander who gives no order to so many that no quorum has the
// same; and a loyal commander with a traitor among his lieutenants, who tells
// everybody something else and forges an order.
//
// A traitor is made by intercepting what his replica sends (traitor.go): he has
// his own keys and signs lies with them as if they were true. He has nobody else's,
// and that is all that holds him back. To be seen in every run, as Lamport, Shostak
// and Pease asked in 1982:
//
//   - all loyal generals obey the same order;
//   - if the commander is loyal, it is his.
//
// Where two contradictory orders with one signature meet at a loyal general, he has
// proof of who the traitor is, and only ever of the traitor.
//
// generals.go tells how a replica is put together by hand; order.go is the
// replicated application.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
)

func main() {
	seed := flag.Uint64("seed", 1, "which run to play; the same seed gives the same story")
	flag.Parse()
	if err := play(*seed, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// scene is one constellation of the four.
type scene struct {
	title string
	// traitor is his number, or nobody. In the list below the commander is number 0.
	traitor int
	// faces are what a traitor says to each of the four: an order, or silence.
	faces [generals]string
}

const nobody = -1

var scenes = []scene{
	{title: "Everybody is loyal.", traitor: nobody},
	{title: "The commander is the traitor, and has two orders.", traitor: 0, faces: [generals]string{attack, attack, attack, retreat}},
	{title: "The commander is the traitor, and no two hear the same.", traitor: 0, faces: [generals]string{attack, retreat, attack, silence}},
	{title: "A lieutenant is the traitor.", traitor: 2, faces: [generals]string{retreat, retreat, retreat, retreat}},
}

// under returns the scene with the numbers of the replicas, of which the schedule of
// primaries has made one the first commander.
func (s scene) under(commander int) scene {
	placed := scene{title: s.title, traitor: s.traitor}
	for i, said := range s.faces {
		placed.faces[(commander+i)%generals] = said
	}
	if s.traitor != nobody {
		placed.traitor = (commander + s.traitor) % generals
	}
	return placed
}

// play plays all scenes and tells of them.
func play(seed uint64, out io.Writer) error {
	camp, err := newCamp()
	if err != nil {
		return err
	}
	for i, s := range scenes {
		fmt.Fprintf(out, "%d. %s\n", i+1, s.title)
		end, err := camp.play(s.under(camp.commander), seed, func(line string) { fmt.Fprintf(out, "   %s\n", line) })
		if err != nil {
			return fmt.Errorf("scene %d, seed %d: %w", i+1, seed, err)
		}
		fmt.Fprintf(out, "   => %s\n\n", end)
	}
	return nil
}

// outcome is how a scene ended.
type outcome struct {
	order   string           // what the loyal generals obey
	obeyed  [generals]string // what each of them does; a traitor's is not counted
	deposed int              // how many commanders were
	proven  []int            // who was proven a traitor to a loyal general
}

func (o outcome) String() string {
	text := fmt.Sprintf("all loyal generals %s", o.order)
	if o.deposed > 0 {
		text += fmt.Sprintf("; commanders deposed: %d", o.deposed)
	}
	return text
}

// errBroken would mean that the protocol failed.
var errBroken = errors.New("the loyal generals do not agree")

// judge asks whether a scene ended as it must.
func (s scene) judge(o *outcome, commander int, ordered string) error {
	for i, order := range o.obeyed {
		if i == s.traitor {
			continue
		}
		if o.order == "" {
			o.order = order
		}
		if order == "" || order != o.order {
			return fmt.Errorf("%w: %v", errBroken, o.obeyed)
		}
	}
	if s.traitor != commander && o.order != ordered {
		return fmt.Errorf("%w with their loyal commander: he ordered %s", errBroken, ordered)
	}
	for _, who := range o.proven {
		if who != s.traitor {
			return fmt.Errorf("general %s is loyal and was proven a traitor", names[who])
		}
	}
	return nil
}
