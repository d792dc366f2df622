package chaos

// Strategies lists all ways to misbehave, in a fixed order.
func Strategies() []Strategy { return strategies }

var strategies = []Strategy{
	{"chameleon", "B1-B23", "rewrites a part of everything, by lot", newChameleon},
}
