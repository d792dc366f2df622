package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// artifact is a compiled contract as solc, Hardhat, Foundry and contracttest write it.
type artifact struct {
	abi  abi.ABI
	code []byte
}

const maxArtifactBytes = 16 << 20

// loadArtifact reads an artifact, or a file with nothing but the ABI.
func loadArtifact(path string) (*artifact, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxArtifactBytes {
		return nil, fmt.Errorf("%s has %d bytes, which no artifact has", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	a, err := parseArtifact(data)
	if err != nil {
		return nil, fmt.Errorf("artifact %s: %w", path, err)
	}
	return a, nil
}

func parseArtifact(data []byte) (*artifact, error) {
	var file struct {
		ABI      json.RawMessage `json:"abi"`
		Bytecode json.RawMessage `json:"bytecode"`
	}
	if trimmed := strings.TrimSpace(string(data)); strings.HasPrefix(trimmed, "[") {
		file.ABI = data
	} else if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	if file.ABI == nil {
		return nil, errors.New("there is no abi in it: give the JSON file that the compiler made")
	}
	a := new(artifact)
	if err := json.Unmarshal(file.ABI, &a.abi); err != nil {
		return nil, fmt.Errorf("abi: %w", err)
	}
	if file.Bytecode == nil {
		return a, nil
	}
	text := ""
	if json.Unmarshal(file.Bytecode, &text) != nil {
		var object struct {
			Object string `json:"object"`
		}
		if err := json.Unmarshal(file.Bytecode, &object); err != nil {
			return nil, fmt.Errorf("bytecode: %w", err)
		}
		text = object.Object
	}
	code, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil {
		return nil, fmt.Errorf("bytecode: %w (is it linked?)", err)
	}
	a.code = code
	return a, nil
}

// packABI encodes arguments that were given as text.
func packABI(inputs abi.Arguments, texts []string) ([]byte, error) {
	if len(texts) != len(inputs) {
		var want []string
		for _, in := range inputs {
			want = append(want, strings.TrimSpace(in.Type.String()+" "+in.Name))
		}
		return nil, fmt.Errorf("%d arguments are given, and it takes %d: (%s)", len(texts), len(inputs), strings.Join(want, ", "))
	}
	values := make([]any, len(inputs))
	for i, in := range inputs {
		v, err := parseABIValue(in.Type, texts[i])
		if err != nil {
			return nil, fmt.Errorf("argument %d (%s): %w", i+1, strings.TrimSpace(in.Type.String()+" "+in.Name), err)
		}
		values[i] = v.Interface()
	}
	return inputs.Pack(values...)
}

// parseABIValue reads a value: numbers in decimal or 0x..., bytes as 0x..., lists and
// structs as JSON.
func parseABIValue(t abi.Type, s string) (reflect.Value, error) {
	var none reflect.Value
	bad := func(remedy string) (reflect.Value, error) { return none, fmt.Errorf("%q: %s", s, remedy) }
	out := reflect.New(t.GetType()).Elem()
	switch t.T {
	case abi.StringTy:
		out.SetString(s)
	case abi.BoolTy:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return bad("write true or false")
		}
		out.SetBool(b)
	case abi.AddressTy:
		if !common.IsHexAddress(s) {
			return bad("an address is 0x and 40 digits")
		}
		out.Set(reflect.ValueOf(common.HexToAddress(s)))
	case abi.UintTy, abi.IntTy:
		return parseABINumber(t, s)
	case abi.BytesTy:
		b, err := hexutil.Decode(s)
		if err != nil && s != "0x" {
			return bad("write bytes as 0x...")
		}
		out.SetBytes(b)
	case abi.FixedBytesTy, abi.FunctionTy:
		b, err := hexutil.Decode(s)
		if err != nil || len(b) != t.GetType().Len() {
			return bad(fmt.Sprintf("write 0x and %d digits", 2*t.GetType().Len()))
		}
		reflect.Copy(out, reflect.ValueOf(b))
	case abi.SliceTy, abi.ArrayTy:
		return parseABIList(t, s, out)
	case abi.TupleTy:
		return parseABITuple(t, s, out)
	default:
		return bad("this type cannot be written here")
	}
	return out, nil
}

func parseABINumber(t abi.Type, s string) (reflect.Value, error) {
	n, ok := new(big.Int).SetString(s, 0)
	if !ok {
		return reflect.Value{}, fmt.Errorf("%q: a number is written in decimal or as 0x..., and this is none", s)
	}
	low, high := new(big.Int), new(big.Int).Lsh(big.NewInt(1), uint(t.Size))
	if t.T == abi.IntTy {
		high.Rsh(high, 1)
		low.Neg(high)
	}
	if n.Cmp(low) < 0 || n.Cmp(high) >= 0 {
		return reflect.Value{}, fmt.Errorf("%s is out of the range of %s", s, t.String())
	}
	out := reflect.New(t.GetType()).Elem()
	switch {
	case out.Kind() == reflect.Pointer:
		out.Set(reflect.ValueOf(n))
	case t.T == abi.UintTy:
		out.SetUint(n.Uint64())
	default:
		out.SetInt(n.Int64())
	}
	return out, nil
}

// jsonText is a value of JSON as it would stand alone on the command line.
func jsonText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

func parseABIList(t abi.Type, s string, out reflect.Value) (reflect.Value, error) {
	var items []json.RawMessage
	if err := json.Unmarshal([]byte(s), &items); err != nil {
		return out, fmt.Errorf("%q: write a list as JSON: [...]", s)
	}
	if t.T == abi.SliceTy {
		out.Set(reflect.MakeSlice(t.GetType(), len(items), len(items)))
	} else if len(items) != t.Size {
		return out, fmt.Errorf("%d values where %d are wanted", len(items), t.Size)
	}
	for i, item := range items {
		v, err := parseABIValue(*t.Elem, jsonText(item))
		if err != nil {
			return out, fmt.Errorf("item %d: %w", i, err)
		}
		out.Index(i).Set(v)
	}
	return out, nil
}

func parseABITuple(t abi.Type, s string, out reflect.Value) (reflect.Value, error) {
	var items []json.RawMessage
	if err := json.Unmarshal([]byte(s), &items); err != nil || len(items) != len(t.TupleElems) {
		return out, fmt.Errorf("%q: write the %d fields as a list of JSON: [...]", s, len(t.TupleElems))
	}
	for i, item := range items {
		v, err := parseABIValue(*t.TupleElems[i], jsonText(item))
		if err != nil {
			return out, fmt.Errorf("field %s: %w", t.TupleRawNames[i], err)
		}
		out.Field(i).Set(v)
	}
	return out, nil
}

// formatABIValues shows what a contract returned.
func formatABIValues(values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = formatABIValue(v)
	}
	return "(" + strings.Join(texts, ", ") + ")"
}

func formatABIValue(v any) string {
	switch v := v.(type) {
	case string:
		return text([]byte(v))
	case []byte:
		return hexutil.Encode(v)
	case fmt.Stringer: // addresses, hashes, numbers
		return v.String()
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Array, reflect.Slice:
		if r.Type().Elem().Kind() == reflect.Uint8 {
			b := make([]byte, r.Len())
			reflect.Copy(reflect.ValueOf(b), r)
			return hexutil.Encode(b)
		}
		var items []string
		for i := range r.Len() {
			items = append(items, formatABIValue(r.Index(i).Interface()))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Struct:
		var items []string
		for i := range r.NumField() {
			items = append(items, r.Type().Field(i).Name+": "+formatABIValue(r.Field(i).Interface()))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return fmt.Sprint(v)
}
