package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"crypto/ecdsa"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	ecrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/spf13/cobra"
)

func newContractKey() *cobra.Command {
	t := newContractTarget()
	var path string
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make an account's key, or show the address of one",
		Long: `Make the key of an Ethereum account, in a file that only you can read, and print the
account's address. If the file is there already its address is printed.

The file holds the key as 64 digits, as geth's 'account import' reads it.`,
		Example: `  parley contract key --dir demo
  parley contract key --account alice.key`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				if err := t.resolve(cmd); err != nil {
					return err
				}
				path = filepath.Join(filepath.Dir(t.cluster), accountFile)
			}
			key, err := contractAccountKey(path)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), ecrypto.PubkeyToAddress(key.PublicKey))
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&path, "account", "", "the key's file (default "+accountFile+" in --dir)")
	return cmd
}

// contractAccountKey reads a key, or makes it.
func contractAccountKey(path string) (*ecdsa.PrivateKey, error) {
	if _, err := os.Lstat(path); err == nil {
		return ecrypto.LoadECDSA(path)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(ecrypto.S256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(f, "%x", ecrypto.FromECDSA(key))
	return key, errors.Join(err, f.Close())
}

func addressArg(cmd *cobra.Command, s string) (common.Address, error) {
	if !common.IsHexAddress(s) {
		return common.Address{}, usagef(cmd, "%q is no address: write 0x and 40 digits", s)
	}
	return common.HexToAddress(s), nil
}

func newContractAccount() *cobra.Command {
	t := newContractTarget()
	var path string
	cmd := &cobra.Command{
		Use:     "account [ADDRESS]",
		Short:   "Show an account: balance, nonce, code",
		Long:    "Show an account's balance in wei (1000000000000000000 are one ether), the nonce of its next\ntransaction, and the size of its code. Without an address it is that of the key file.",
		Example: "  parley contract account --dir demo\n  parley contract account --dir demo 0x4e59b44847b379578588920cA78FbF26c0B4956C",
		Args:    mostArgs("ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := t.read(cmd)
			if err != nil {
				return err
			}
			defer r.cancel()
			var addr common.Address
			if len(args) == 1 {
				if addr, err = addressArg(cmd, args[0]); err != nil {
					return err
				}
			} else {
				if path == "" {
					path = filepath.Join(filepath.Dir(t.cluster), accountFile)
				}
				key, err := ecrypto.LoadECDSA(path)
				if err != nil {
					return fmt.Errorf("account key %s: %w", path, err)
				}
				addr = ecrypto.PubkeyToAddress(key.PublicKey)
			}
			var balance hexutil.Big
			var nonce hexutil.Uint64
			var code hexutil.Bytes
			if err := errors.Join(r.call(&balance, "eth_getBalance", addr, "latest"), r.call(&nonce, "eth_getTransactionCount", addr, "latest"),
				r.call(&code, "eth_getCode", addr, "latest")); err != nil {
				return err
			}
			if t.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{
					"address": addr, "balance": balance.ToInt().String(), "nonce": uint64(nonce), "codeBytes": len(code),
				})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%v: %v wei, nonce %d, %d bytes of code\n", addr, balance.ToInt(), uint64(nonce), len(code))
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&path, "account", "", "the key's file (default "+accountFile+" in --dir)")
	return cmd
}
