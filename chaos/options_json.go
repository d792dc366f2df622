package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// EncodeOptions writes options as JSON, without the functions in them.
func EncodeOptions(o Options) (json.RawMessage, error) {
	var b bytes.Buffer
	v := reflect.ValueOf(o)
	sep := '{'
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Type.Kind() == reflect.Func {
			continue
		}
		data, err := json.Marshal(v.Field(i).Interface())
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", f.Name, err)
		}
		fmt.Fprintf(&b, "%c%q:%s", sep, f.Name, data)
		sep = ','
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// DecodeOptions reads what [EncodeOptions] wrote. Fields that there are not are
// mistakes. Errors: ErrOptions.
func DecodeOptions(data []byte) (Options, error) {
	var o Options
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return o, o.Validate()
}
