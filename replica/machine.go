package replica

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/parley-bft/parley/statemachine"
)

// openMachine makes the application of a replica that is to open it itself.
func (s *Server) openMachine(ctx context.Context) error {
	if s.cfg.OpenMachine == nil {
		return nil
	}
	dir := filepath.Join(s.cfg.DataDir, StateDir)
	m, err := s.cfg.OpenMachine(ctx, dir)
	if err != nil {
		return fmt.Errorf("open the application's state in %s: %w", dir, err)
	}
	s.cfg.Machine = m
	return nil
}

// closeMachine closes the application that openMachine made. Nothing uses it any more.
func (s *Server) closeMachine() error {
	c, ok := s.cfg.Machine.(io.Closer)
	if s.cfg.OpenMachine == nil || !ok {
		return nil
	}
	if err := c.Close(); err != nil {
		return fmt.Errorf("close the application: %w", err)
	}
	return nil
}

// Machine is the application: that of the configuration, or what its OpenMachine made.
// Its reads, if it has any of its own, may be called until Stop.
func (s *Server) Machine() statemachine.StateMachine { return s.cfg.Machine }
