package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
)

// town is everybody, by name.
type town struct {
	cluster *replica.LocalCluster
	out     io.Writer
	parties map[string]*party
}

// party is a key, and a connection on which it signs requests.
type party struct {
	name   string
	key    *keyfile.Client
	client *client.Client
}

// move lets somebody move in: with a key, a connection, an account.
func (t *town) move(ctx context.Context, name string) error {
	key, err := keyfile.GenerateClient(rand.Reader)
	if err != nil {
		return err
	}
	c, err := client.Dial(ctx, client.Config{Roster: t.cluster.Roster, Key: key.Signing})
	if err != nil {
		return err
	}
	t.parties[name] = &party{name, key, c}
	return t.do(ctx, name, ledger.NewAccount(name, 1, key.Signing.Public()))
}

func (t *town) close() {
	for _, p := range t.parties {
		_ = p.client.Close()
	}
}

// submit runs an operation as somebody. The error is a *ledger.Rejection if the ledger
// refused it.
func (t *town) submit(ctx context.Context, who string, op []byte) (ledger.Result, error) {
	answer, err := t.parties[who].client.Submit(ctx, op)
	if err != nil {
		return ledger.Result{}, err
	}
	r, err := ledger.DecodeResult(answer)
	return r, errors.Join(err, r.Err())
}

// do runs actions by somebody's own authority.
func (t *town) do(ctx context.Context, who string, actions ...ledger.Action) error {
	if _, err := t.submit(ctx, who, ledger.Do(actions...)); err != nil {
		return fmt.Errorf("%s: %w", who, err)
	}
	return nil
}

// sign is somebody's signature of a transaction: of the whole of it, for this cluster.
func (t *town) sign(who string, tx *ledger.Transaction) ledger.Signature {
	return tx.Sign(t.cluster.Roster.Cluster.ID(), ed25519.NewSigner(t.parties[who].key.Signing))
}

// refused runs an operation that must be refused for a reason.
func (t *town) refused(ctx context.Context, who string, op []byte, want error) error {
	_, err := t.submit(ctx, who, op)
	if !errors.Is(err, want) {
		return fmt.Errorf("%s: the ledger should have said %q and says %v", who, want, err)
	}
	t.say("  refused: %v", want)
	return nil
}

// fromNow is block time so long from now, as far as this clock knows.
func fromNow(d time.Duration) statemachine.Time {
	return statemachine.Time(time.Now().Add(d).UnixNano())
}

// has is what an account has of an asset.
func (t *town) has(ctx context.Context, account, asset string) (h ledger.Holding, err error) {
	answer, err := t.parties[account].client.Submit(ctx, ledger.GetQuery(ledger.HoldingKey(account, asset)))
	if err != nil {
		return h, err
	}
	value, found, err := ledger.DecodeValue(answer.Data)
	if err != nil || !found {
		return h, err
	}
	return ledger.DecodeHolding(value)
}

// show tells what accounts have.
func (t *town) show(ctx context.Context, asset string, decimals uint8, accounts ...string) error {
	for _, a := range accounts {
		h, err := t.has(ctx, a, asset)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("  %s: %s %s", a, ledger.FormatAmount(h.Balance, decimals), asset)
		if h.Held > 0 {
			text += fmt.Sprintf(" and %s set aside", ledger.FormatAmount(h.Held, decimals))
		}
		if h.Credit != 0 {
			text += fmt.Sprintf(", is owed %s", ledger.FormatSigned(h.Credit, decimals))
		}
		t.say("%s", text)
	}
	return nil
}
