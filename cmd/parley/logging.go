package main

import (
	"io"
	"log/slog"
)

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"text", "json"}
)

// newLogger makes a logger; level and format have been validated.
func newLogger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	if level != "" {
		// The four names are slog's own.
		_ = l.UnmarshalText([]byte(level))
	}
	o := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
