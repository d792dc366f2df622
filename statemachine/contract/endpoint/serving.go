package endpoint

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"time"
)

// notServing says why the state is not to be read now; nil if it is.
func (c *Config) notServing() error {
	if c.Serving == nil {
		return nil
	}
	if err := c.Serving(); err != nil {
		return fmt.Errorf("%w: ask another replica", err)
	}
	return nil
}

// steady says why the state is not to be read now. If it is, the channel is closed once
// it is another one than now (see Config.Interrupted for the order of the two).
func (c *Config) steady() (interrupted <-chan struct{}, err error) {
	if c.Interrupted != nil {
		interrupted = c.Interrupted()
	}
	return interrupted, c.notServing()
}

// over tells whether a channel of steady is closed.
func over(interrupted <-chan struct{}) bool {
	select {
	case <-interrupted:
		return true
	default:
		return false
	}
}

type connKey struct{}

// withConn lets a request find its connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// whileSteady serves a WebSocket until it ends or the state is another one. What was told
// over it may have been wrong, and blocks may come that were told already or are left out:
// whoever is at the other end learns that, and begins anew, here or at another replica.
func whileSteady(interrupted <-chan struct{}, sockets http.Handler, w http.ResponseWriter, r *http.Request) {
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-interrupted:
			if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
				cut(c)
			}
		case <-done:
		}
	}()
	sockets.ServeHTTP(w, r) // until the connection ends
	close(done)
	<-watched
}

const (
	// closeTryAgain is the code of a WebSocket that is closed because its server cannot
	// serve it now.
	closeTryAgain = 1013
	// cutReason fits into a frame of control.
	cutReason = "the state of this replica has been found wrong, or was replaced: ask another replica, or again later"
	// cutPatience is how long the other end may take to take up the reason.
	cutPatience = time.Second
)

// cut tells the other end of a WebSocket why, and closes it. The frame is written in one
// piece beside what the server of the socket may be writing: between two of its frames, or
// into one that is long, which the other end then finds cut off.
func cut(c net.Conn) {
	frame := []byte{0x88, byte(2 + len(cutReason))}
	frame = binary.BigEndian.AppendUint16(frame, closeTryAgain)
	frame = append(frame, cutReason...)
	impatient := time.AfterFunc(cutPatience, func() { _ = c.Close() })
	defer impatient.Stop()
	_, _ = c.Write(frame)
	_ = c.Close()
}
