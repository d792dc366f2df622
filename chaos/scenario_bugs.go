package chaos

// KnownBug is an entry of the catalogue of what went wrong elsewhere.
type KnownBug struct {
	// ID is as the scenarios name it: the system's own number, or a short name.
	ID string
	// Title is a few words, URL where it is told; "" if only the literature has it.
	Title, URL string
}

// KnownBugs is the catalogue: ten schedules that are classics, and the public bugs
// of systems of this kind. Every one has a scenario.
func KnownBugs() []KnownBug { return knownBugs }

const (
	gh     = "https://github.com/"
	govuln = "https://pkg.go.dev/vuln/"
)

var knownBugs = []KnownBug{
	// The ten schedules; those that are also bugs of a system have its number.
	{"Zyzzyva", "two prepared candidates across two view changes", "https://arxiv.org/abs/1712.01367"},
	{"FaB", "a progress certificate that permits no value", "https://arxiv.org/abs/1712.01367"},
	{"SRDS'21 reads", "the read optimisation loses liveness", ""},
	{"Tendermint amnesia n4_f2", "votes forgotten between rounds fork four replicas with two traitors", gh + "cometbft/cometbft/tree/main/spec/light-client/accountability"},
	{"NATS bit flip", "a damaged file and a new leader lose acknowledged writes", "https://jepsen.io/analyses/nats-2.12.1"},
	{"NATS power loss", "acknowledged writes were not synced anywhere", "https://jepsen.io/analyses/nats-2.12.1"},

	{"CometBFT GO-2020-0037", "unbounded decompression", govuln + "GO-2020-0037"},
	{"CometBFT GO-2021-0090", "wrong signatures inside a commit", govuln + "GO-2021-0090"},
	{"CometBFT GO-2022-1052", "evidence timestamp mismatch", govuln + "GO-2022-1052"},
	{"CometBFT GO-2023-1882", "dumping the state deadlocks", govuln + "GO-2023-1882"},
	{"CometBFT GO-2023-1883", "duplicates fill the mempool", govuln + "GO-2023-1883"},
	{"CometBFT GO-2024-2471", "a parameter change halts the chain", govuln + "GO-2024-2471"},
	{"CometBFT GO-2024-2951", "block sync panics or is stuck", govuln + "GO-2024-2951"},
	{"CometBFT GO-2024-3112", "state sync takes over uncertified priorities", govuln + "GO-2024-3112"},
	{"CometBFT GO-2024-3259", "index out of range", govuln + "GO-2024-3259"},
	{"CometBFT GO-2025-3442", "sync never ends", govuln + "GO-2025-3442"},
	{"CometBFT GO-2025-3443", "the index of a part is not that of its proof", govuln + "GO-2025-3443"},
	{"CometBFT GO-2025-4025", "length of a bit array", govuln + "GO-2025-4025"},
	{"CometBFT GO-2026-4361", "commit verification and block time disagree", govuln + "GO-2026-4361"},
	{"CometBFT #5668", "the check for double signing checked nothing", gh + "cometbft/cometbft/pull/5668"},
	{"CometBFT #5839", "block sync deadlocks in a race with votes", gh + "cometbft/cometbft/pull/5839"},
	{"CometBFT #5953", "votes while catching up contradict what was decided", gh + "cometbft/cometbft/pull/5953"},
	{"CometBFT #5860", "sync takes blocks from anybody", gh + "cometbft/cometbft/pull/5860"},
	{"CometBFT #5801", "a peer stops sync for good (April 2026)", gh + "cometbft/cometbft/issues/5801"},

	{"SmartBFT #570", "a decision is delivered twice", gh + "hyperledger-labs/SmartBFT/pull/570"},
	{"SmartBFT #553", "a sequence is committed twice", gh + "hyperledger-labs/SmartBFT/pull/553"},
	{"SmartBFT #561", "stuck in propose", gh + "hyperledger-labs/SmartBFT/pull/561"},
	{"SmartBFT #622", "decide and abort block each other", gh + "hyperledger-labs/SmartBFT/pull/622"},
	{"SmartBFT #663", "a sync at the same height resets metadata", gh + "hyperledger-labs/SmartBFT/pull/663"},
	{"SmartBFT #538", "a decision in flight during a view change crashes", gh + "hyperledger-labs/SmartBFT/pull/538"},
	{"SmartBFT fabric #274", "fuzzed messages start a storm of view changes", gh + "SmartBFT-Go/fabric/issues/274"},
	{"SmartBFT fabric #279", "fuzzed messages crash orderers", gh + "SmartBFT-Go/fabric/issues/279"},

	{"BFT-SMaRt #19", "livelock with one replica partitioned", gh + "bft-smart/library/issues/19"},
	{"BFT-SMaRt #27", "a paused replica never catches up and runs out of memory", gh + "bft-smart/library/issues/27"},
	{"BFT-SMaRt #62", "the leader is taken from the last transfer reply", gh + "bft-smart/library/issues/62"},
	{"BFT-SMaRt #73", "a replica whose state diverged is not noticed", gh + "bft-smart/library/issues/73"},
	{"BFT-SMaRt April 2022", "a series of fixes for hostile clients and early commits", gh + "bft-smart/library"},

	{"concord-bft #269", "state transfer without the primary", gh + "vmware/concord-bft/issues/269"},
	{"concord-bft #704", "a NewView without the ViewChanges it rests on", gh + "vmware/concord-bft/pull/704"},
	{"concord-bft #1182", "a replica that is views behind after state transfer", gh + "vmware/concord-bft/pull/1182"},
	{"concord-bft #2707", "a checkpoint that comes after the ViewChanges", gh + "vmware/concord-bft/pull/2707"},
	{"concord-bft 2022 leaks", "messages that are never deleted", gh + "vmware/concord-bft"},

	{"Fabric PBFT #917", "views change all the time on a poor network", gh + "hyperledger-archives/fabric/issues/917"},
	{"Fabric PBFT #1111", "a quorum counted over the wrong set", gh + "hyperledger-archives/fabric/pull/1111"},
	{"Fabric PBFT #2032", "view changes repeat for ever", gh + "hyperledger-archives/fabric/issues/2032"},

	{"FISCO-BCOS #1951", "a length field fills the memory", gh + "FISCO-BCOS/FISCO-BCOS/issues/1951"},
	{"FISCO-BCOS #2204", "malformed fields crash nodes", gh + "FISCO-BCOS/FISCO-BCOS/issues/2204"},
	{"FISCO-BCOS #2206", "one traitor keeps views changing", gh + "FISCO-BCOS/FISCO-BCOS/issues/2206"},
	{"FISCO-BCOS #2211", "a large view is followed", gh + "FISCO-BCOS/FISCO-BCOS/issues/2211"},
	{"FISCO-BCOS #2312", "a huge view overflows", gh + "FISCO-BCOS/FISCO-BCOS/issues/2312"},
	{"FISCO-BCOS #2448", "a hash is taken from the message, not computed", gh + "FISCO-BCOS/FISCO-BCOS/issues/2448"},

	{"relab/hotstuff #24", "a deadlock on a parent that is missing", gh + "relab/hotstuff/issues/24"},
	{"Neo #792", "commit locks in two views", gh + "neo-project/neo-modules/issues/792"},

	// Of states that are synchronised by the nodes of their tree.
	{"go-ethereum CVE-2021-41173", "a crafted request for nodes of the state crashes whoever serves them", gh + "ethereum/go-ethereum/security/advisories/GHSA-59hh-656j-3p7v"},
	{"go-ethereum #25865", "healing the state never ends", gh + "ethereum/go-ethereum/issues/25865"},
	{"go-ethereum #28587", "a synchronised state has nodes that are not its own", gh + "ethereum/go-ethereum/issues/28587"},
	{"Cosmos SDK #23638", "a height is pruned while a snapshot of it is made", gh + "cosmos/cosmos-sdk/issues/23638"},
	{"grovedb #695", "malformed chunks of a state count as received", gh + "dashpay/grovedb/issues/695"},
	{"polkadot-sdk #12945", "an empty answer makes state sync panic", gh + "paritytech/polkadot-sdk/issues/12945"},

	// The track record of etcd's robustness tests; #20221 has two rows.
	{"etcd #13766", "inconsistent revision after a crash under load", gh + "etcd-io/etcd/issues/13766"},
	{"etcd #14370", "a single node loses a write in a crash", gh + "etcd-io/etcd/issues/14370"},
	{"etcd #14571", "enabling auth makes members differ", gh + "etcd-io/etcd/issues/14571"},
	{"etcd #14685", "inconsistent revision after a crash in defrag", gh + "etcd-io/etcd/pull/14685"},
	{"etcd #15220", "a watch's progress is ahead of its events", gh + "etcd-io/etcd/issues/15220"},
	{"etcd #15271", "a watch goes back in time after a partition", gh + "etcd-io/etcd/issues/15271"},
	{"etcd #17247", "an event comes twice", gh + "etcd-io/etcd/issues/17247"},
	{"etcd #17529", "events are lost on a slow stream", gh + "etcd-io/etcd/issues/17529"},
	{"etcd #17780", "the revision goes back after a crash in compaction", gh + "etcd-io/etcd/issues/17780"},
	{"etcd #18055", "two snapshots in a short time cause a panic", gh + "etcd-io/etcd/issues/18055"},
	{"etcd #18089", "an event is lost at compaction", gh + "etcd-io/etcd/issues/18089"},
	{"etcd #18667", "reading a compacted revision makes members differ", gh + "etcd-io/etcd/issues/18667"},
	{"etcd #19179", "a delete is missing from a watch at the compacted revision", gh + "etcd-io/etcd/issues/19179"},
	{"etcd #20221 notifications", "a watch on the future gets notifications", gh + "etcd-io/etcd/issues/20221"},
	{"etcd #20221 events", "a watch on the future gets old events", gh + "etcd-io/etcd/issues/20221"},
	{"etcd #20271", "a panic about a database page", gh + "etcd-io/etcd/issues/20271"},
	{"etcd #20418", "stale reads after a pause", gh + "etcd-io/etcd/issues/20418"},
}
