package contracttest

import (
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// Step is one transaction of a story, in a block of its own.
type Step struct {
	Name string
	// Blocks and Seconds must have passed since the step before.
	Blocks, Seconds uint64
	Tx              *types.Transaction
	// Fails says that the transaction has a receipt of status 0.
	Fails bool
}

// Story is a sequence of transactions that do not depend on the chain they run on, so
// several chains can be compared.
type Story struct {
	Steps []Step
	// Who takes part, and needs what the story costs.
	Alice, Bob, Carol, Dave *Wallet
	// What is deployed.
	Coin, Art, Share, Timelock, Dao common.Address
	// Proposal is the id of the DAO's proposal.
	Proposal *big.Int
}

// Numbers of the story's DAO: blocks before a vote begins and while it goes on, seconds
// in the timelock.
const (
	VotingDelay   = 2
	VotingPeriod  = 40
	TimelockDelay = 1
)

// Money of the story, in the tokens' smallest units and in wei.
var (
	Supply   = ether(1_000_000)
	Treasury = ether(1000) // coins of the DAO
	Grant    = ether(250)  // coins that the proposal pays
	Purse    = ether(3)    // wei of the DAO
	Alms     = ether(1)    // wei that the proposal pays
)

func ether(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1e18)) }

// NewStory tells of an ERC-20, an ERC-721, and a DAO that votes on its treasury: a
// Governor, its Timelock, three voters.
func NewStory(chainID uint64, fee *big.Int) *Story {
	s := &Story{
		Alice: NewWallet(chainID, "alice"), Bob: NewWallet(chainID, "bob"),
		Carol: NewWallet(chainID, "carol"), Dave: NewWallet(chainID, "dave"),
	}
	for _, w := range s.Wallets() {
		w.FeeCap, w.Tip = fee, fee
	}
	s.tellCoin()
	s.tellArt()
	s.tellDao()
	return s
}

// Wallets are all that take part.
func (s *Story) Wallets() []*Wallet { return []*Wallet{s.Alice, s.Bob, s.Carol, s.Dave} }

func (s *Story) add(name string, tx *types.Transaction) *Step {
	s.Steps = append(s.Steps, Step{Name: name, Tx: tx})
	return &s.Steps[len(s.Steps)-1]
}

func (s *Story) deploy(name string, data []byte) common.Address {
	tx, at := s.Alice.Deploy(data)
	s.add("deploy "+name, tx)
	return at
}

func (s *Story) tellCoin() {
	c := Load("Coin")
	s.Coin = s.deploy("Coin", c.Deploy(Supply))
	call := func(name string, w *Wallet, method string, args ...any) *Step {
		return s.add(name, w.Send(s.Coin, nil, c.Call(method, args...)))
	}
	call("transfer", s.Alice, "transfer", s.Bob.Address, ether(100))
	call("approve", s.Bob, "approve", s.Carol.Address, ether(10))
	call("transferFrom", s.Carol, "transferFrom", s.Bob.Address, s.Carol.Address, ether(4))
	call("transfer of more than there is", s.Carol, "transfer", s.Dave.Address, ether(5)).Fails = true
	call("transfer of everything, which gives a refund", s.Carol, "transfer", s.Dave.Address, ether(4))
}

func (s *Story) tellArt() {
	c := Load("Art")
	s.Art = s.deploy("Art", c.Deploy())
	call := func(name string, w *Wallet, method string, args ...any) *Step {
		return s.add(name, w.Send(s.Art, nil, c.Call(method, args...)))
	}
	call("mint", s.Alice, "mint", s.Bob.Address, "ipfs://bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")
	call("mint by a stranger", s.Bob, "mint", s.Bob.Address, "ipfs://forged").Fails = true
	call("approve", s.Bob, "approve", s.Carol.Address, big.NewInt(1))
	call("transferFrom", s.Carol, "transferFrom", s.Bob.Address, s.Carol.Address, big.NewInt(1))
	call("mint to a contract that takes none", s.Alice, "mint", s.Coin, "").Fails = true
}

var (
	proposerRole  = [32]byte(crypto.Keccak256([]byte("PROPOSER_ROLE")))
	cancellerRole = [32]byte(crypto.Keccak256([]byte("CANCELLER_ROLE")))
)

func (s *Story) tellDao() {
	share, lock, dao, coin := Load("Share"), Load("TimelockController"), Load("Dao"), Load("Coin")
	s.Share = s.deploy("Share", share.Deploy(Supply))
	anybody := []common.Address{{}}
	s.Timelock = s.deploy("Timelock", lock.Deploy(big.NewInt(TimelockDelay), []common.Address{}, anybody, s.Alice.Address))
	s.Dao = s.deploy("Dao", dao.Deploy(s.Share, s.Timelock, big.NewInt(VotingDelay), uint32(VotingPeriod)))

	s.add("the DAO may propose to the timelock", s.Alice.Send(s.Timelock, nil, lock.Call("grantRole", proposerRole, s.Dao)))
	s.add("and cancel", s.Alice.Send(s.Timelock, nil, lock.Call("grantRole", cancellerRole, s.Dao)))
	s.add("Alice may no more", s.Alice.Send(s.Timelock, nil, lock.Call("renounceRole", [32]byte{}, s.Alice.Address)))
	s.add("coins for the treasury", s.Alice.Send(s.Coin, nil, coin.Call("transfer", s.Timelock, Treasury)))
	s.add("ether for the treasury", s.Alice.Send(s.Timelock, Purse, nil))

	s.add("shares for Bob", s.Alice.Send(s.Share, nil, share.Call("transfer", s.Bob.Address, ether(300_000))))
	s.add("shares for Carol", s.Alice.Send(s.Share, nil, share.Call("transfer", s.Carol.Address, ether(200_000))))
	for _, w := range []*Wallet{s.Alice, s.Bob, s.Carol} {
		s.add("a vote needs a delegate", w.Send(s.Share, nil, share.Call("delegate", w.Address)))
	}

	const text = "Give Dave 250 coins and an ether"
	targets := []common.Address{s.Coin, s.Dave.Address}
	values := []*big.Int{new(big.Int), Alms}
	calls := [][]byte{coin.Call("transfer", s.Dave.Address, Grant), {}}
	hash := [32]byte(crypto.Keccak256([]byte(text)))
	s.Proposal = proposalID(targets, values, calls, hash)

	s.add("propose", s.Bob.Send(s.Dao, nil, dao.Call("propose", targets, values, calls, text))).Blocks = 1
	s.add("vote too early", s.Alice.Send(s.Dao, nil, dao.Call("castVote", s.Proposal, uint8(1)))).Fails = true
	s.add("Alice is for it", s.Alice.Send(s.Dao, nil, dao.Call("castVote", s.Proposal, uint8(1)))).Blocks = VotingDelay + 1
	s.add("Bob is against it", s.Bob.Send(s.Dao, nil, dao.Call("castVote", s.Proposal, uint8(0))))
	s.add("Carol abstains", s.Carol.Send(s.Dao, nil, dao.Call("castVoteWithReason", s.Proposal, uint8(2), "Who is Dave?")))
	s.add("Alice votes twice", s.Alice.Send(s.Dao, nil, dao.Call("castVote", s.Proposal, uint8(1)))).Fails = true
	s.add("queue", s.Dave.Send(s.Dao, nil, dao.Call("queue", targets, values, calls, hash))).Blocks = VotingPeriod + 1
	s.add("execute", s.Dave.Send(s.Dao, nil, dao.Call("execute", targets, values, calls, hash))).Seconds = TimelockDelay + 1
	s.add("execute twice", s.Dave.Send(s.Dao, nil, dao.Call("execute", targets, values, calls, hash))).Fails = true
}

// proposalID is the Governor's hash of a proposal.
func proposalID(targets []common.Address, values []*big.Int, calls [][]byte, text [32]byte) *big.Int {
	kind := func(t string) abi.Argument {
		typ, err := abi.NewType(t, "", nil)
		if err != nil {
			panic(err)
		}
		return abi.Argument{Type: typ}
	}
	args := abi.Arguments{kind("address[]"), kind("uint256[]"), kind("bytes[]"), kind("bytes32")}
	b, err := args.Pack(targets, values, calls, text)
	if err != nil {
		panic(err)
	}
	return new(big.Int).SetBytes(crypto.Keccak256(b))
}
