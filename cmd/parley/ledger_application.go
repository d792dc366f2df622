package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/parley-bft/parley/internal/strictjson"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/ledger"
	"github.com/parley-bft/parley/statemachine/store"
)

var ledgerApplication = application{
	name: "ledger", about: "assets, accounts, atomic transactions, holds, trust lines",
	check: func(genesis json.RawMessage) error {
		_, err := ledgerGenesis(genesis)
		return err
	},
	handler: func(cfg applicationConfig) (store.Handler, access.Classifier, error) {
		c := ledger.DefaultConfig(cfg.cluster)
		var err error
		if c.Genesis, err = ledgerGenesis(cfg.genesis); err != nil {
			return nil, nil, err
		}
		h, err := ledger.NewHandler(c)
		if err != nil {
			return nil, nil, err
		}
		return h, h.Classify, nil
	},
	kinds: ledger.Kinds,
	greet: greetLedger,
	tryout: func(dir string) []string {
		return []string{
			"ledger account open --dir " + dir + " bank", "ledger account open --dir " + dir + " alice",
			"ledger asset define --dir " + dir + " EUR bank --decimals 2", "ledger issue --dir " + dir + " EUR alice 100.00",
			"ledger transfer --dir " + dir + " EUR alice bank 12.50", "ledger statement --dir " + dir + " alice", "ledger audit --dir " + dir,
		}
	},
}

// ledgerGenesis reads and checks a beginning; nothing is nil.
func ledgerGenesis(data json.RawMessage) (*ledger.Genesis, error) {
	if len(data) == 0 {
		return nil, nil
	}
	g := new(ledger.Genesis)
	if err := strictjson.Decode(data, g); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	return g, g.Check(ledger.DefaultLimits())
}

// greetLedger reads through the log what accounts there are.
func greetLedger(ctx context.Context, s *session) (string, error) {
	a, err := s.Do(ctx, ledger.RangeQuery(ledger.AccountsPage()))
	if err != nil {
		return "", err
	}
	all, more, err := ledger.DecodeRange(a.Result.Data)
	if err != nil {
		return "", err
	}
	n := fmt.Sprint(len(all))
	if more {
		n += " and more"
	}
	return fmt.Sprintf("  %s accounts   read in block %d\n", n, a.Ref.Height), nil
}
