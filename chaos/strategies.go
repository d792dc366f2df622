package chaos

import (
	"math/rand/v2"

	"github.com/parley-bft/parley/pbft"
)

// Strategies lists all ways to misbehave, in a fixed order.
func Strategies() []Strategy { return strategies }

var strategies = []Strategy{
	{"chameleon", "B1-B23", "rewrites a part of everything, by lot", newChameleon},
	{"mute", "B1", "says nothing", newMute},
	{"aloof", "B2", "says nothing to some, who change", newAloof},
	{"relapse", "B3", "pretends to have crashed and lost its disk, and misleads those who really have", newRelapse},
	{"equivocate", "B4 P01", "proposes different blocks to the two sides", newEquivocate},
	{"doublevote", "B5 C01", "votes for two blocks at every height", newDoubleVote},
	{"twin", "B6 D13", "is two honest replicas under one key, one for each side", newTwin},
	{"amnesia", "B7 C02 D11", "goes back to an old or empty disk and votes on", newAmnesia},
	{"replay", "B8 N07", "sends messages of the past again", newReplay},
	{"crosscontext", "B9 C12 C13", "uses signatures for what they were not made for", newCrossContext},
	{"offbyone", "B10 C15", "changes a number by one", newOffByOne},
	{"swap", "B11", "takes a value from an earlier message", newSwap},
	{"badshare", "B12 C06", "votes with signatures that spoil the aggregate", newBadShare},
	{"malformed", "B13 C04 N19", "sends what no encoder makes", newMalformed},
	{"hide", "B14 V01 P02", "helps to commit at one replica and then claims to know nothing of it", newHide},
	{"forge", "B15 V02 V07 C03", "shows certificates, claims and checkpoints that nobody signed", newForge},
	{"wrongbase", "B16 V03 V04", "opens views on a base that the claims do not give", newWrongBase},
	{"twonewviews", "B17 V05", "opens a view twice and votes in both", newTwoNewViews},
	{"huge", "B18 V11 P08 P09 C19", "says enormous views and heights", newHuge},
	{"storm", "B19 V12 V13", "asks for view changes without end", newStorm},
	{"slow", "B20 P03 P19", "proposes just before the timeout, and adapts to it", newSlow},
	{"starve", "B21 P05 K15", "leaves as many in the dark as cannot depose it", newStarve},
	{"halfdark", "P06", "leaves others in the dark after every checkpoint", newHalfDark},
	{"poison", "B22 T02 T09 P17", "serves wrong chunks, manifests and blocks", newPoison},
	{"trickle", "B22 T06", "serves too slowly to be of use, and never the end", newTrickle},
	{"falseparts", "B22 T02 T09", "serves parts of a state that are spoiled, cut off, too long or of other keys", newFalseParts},
	{"staleparts", "B22 T08", "serves parts of the state of another height", newStaleParts},
	{"noparts", "B22 T12", "serves a few parts of a state, and then none, or says that it has none", newNoParts},
	{"lateparts", "B22 T06", "serves the parts of a state just before the time is over", newLateParts},
	{"frameparts", "A1 T03", "answers for others who are asked for parts of a state, with what is false", newFrameParts},
	{"heightliar", "T04", "promises blocks and snapshots that it does not have", newHeightLiar},
	{"lie", "B23 K14", "tells clients what is not so", newLie},
	{"flood", "B24 C17 C18 C19", "sends much of what costs others something", newFlood},
	{"wrongcheckpoint", "T01", "states other states at checkpoints", newWrongCheckpoint},
	{"censor", "P04", "never orders one client's requests", newCensor},
	{"hole", "P07", "skips heights", newHole},
	{"badrequests", "P10 P16 K11", "proposes requests that nobody signed, or too much", newBadRequests},
	{"duplicates", "P11", "proposes requests again that ran before", newDuplicates},
	{"withhold", "P12 C18", "has votes for blocks whose body nobody has", newWithhold},
	{"shuffler", "P13", "orders the requests differently for everybody", newShuffler},
	{"badtime", "P15", "lies about the time", newBadTime},
	{"flags", "PROTOCOL 3.8", "asks for a checkpoint with every block", newFlags},
	{"frame", "A1 T03", "accuses others of what they did not do", newFrame},
	{"fork", "B4 B5 C20", "a coalition that runs a chain for each side", newFork},
	{"turncoat", "P19", "changes its strategy every few seconds, and is honest in between", newTurncoat},
	{"rogue", "B10 B11", "makes messages of every kind by their grammar, and follows no protocol", newRogue},
}

// aboutParts tells whether a strategy has something to do only where states are
// transferred in parts.
func aboutParts(strategy string) bool {
	switch strategy {
	case "falseparts", "staleparts", "noparts", "lateparts", "frameparts":
		return true
	}
	return false
}

// drawStrategies draws what traitors play: half of the time all the same, so that
// they act together.
func drawStrategies(rng *rand.Rand, traitors []pbft.ReplicaID, n int) []string {
	names := make([]string, n)
	together := rng.IntN(2) == 0
	name := ""
	for _, id := range traitors {
		if name == "" || !together {
			name = strategies[rng.IntN(len(strategies))].Name
		}
		names[id] = name
	}
	return names
}
