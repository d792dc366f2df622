package endpoint

import (
	"strconv"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
)

// netAPI is the namespace net.
type netAPI struct{ chainID uint64 }

// Version is net_version: in decimal, as Ethereum has it.
func (a *netAPI) Version() string { return strconv.FormatUint(a.chainID, 10) }

// Listening is net_listening.
func (a *netAPI) Listening() bool { return true }

// PeerCount is net_peerCount.
func (a *netAPI) PeerCount() hexutil.Uint { return 0 }

// web3API is the namespace web3.
type web3API struct{ version string }

// ClientVersion is web3_clientVersion.
func (a *web3API) ClientVersion() string { return a.version }

// Sha3 is web3_sha3.
func (a *web3API) Sha3(data hexutil.Bytes) hexutil.Bytes { return crypto.Keccak256(data) }
