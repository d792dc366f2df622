package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"

	pb "github.com/hyperledger-labs/SmartBFT/smartbftprotos"
	"google.golang.org/protobuf/proto"

	"github.com/parley-bft/parley/bench/wire"
)

// The kinds of frames between replicas.
const (
	kindConsensus = 'c'
	kindCommand   = 't'
	kindSync      = 's'
	kindAnswer    = 'a'
)

// Nodes implements SmartBFT's communication, as SendConsensus and SendTransaction do.
func (s *smart) Nodes() []uint64 {
	all := make([]uint64, replicas)
	for i := range all {
		all[i] = uint64(i + 1)
	}
	return all
}

// SendConsensus sends a message of the protocol.
func (s *smart) SendConsensus(to uint64, m *pb.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err) // SmartBFT's own
	}
	s.links[to].Put([]byte{kindConsensus}, b)
}

// SendTransaction passes a command on.
func (s *smart) SendTransaction(to uint64, r []byte) {
	if to != uint64(s.id) {
		s.links[to].Put([]byte{kindCommand}, r)
	}
}

// receive takes a frame of a replica.
func (s *smart) receive(from int, b []byte) {
	select {
	case <-s.started:
	default:
		return
	}
	if len(b) == 0 {
		return
	}
	switch body := b[1:]; b[0] {
	case kindConsensus:
		m := new(pb.Message)
		if proto.Unmarshal(body, m) == nil {
			s.engine.HandleMessage(uint64(from), m)
		}
	case kindCommand:
		s.engine.HandleRequest(uint64(from), body)
	case kindSync:
		if len(body) == 8 {
			s.answer(from, binary.BigEndian.Uint64(body))
		}
	case kindAnswer:
		select {
		case s.answers <- body:
		default:
		}
	}
}

func linkName(i int) string { return fmt.Sprintf("r%d", i) }

// tlsConfig is mutual TLS 1.3 with one self-signed certificate for each replica.
func (s *smart) tlsConfig() (*tls.Config, error) {
	pool := x509.NewCertPool()
	c := &tls.Config{RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}
	for i := 1; i <= replicas; i++ {
		key := wire.Key25519("tls", i)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i)), Subject: pkix.Name{CommonName: linkName(i)}, DNSNames: []string{linkName(i)},
			NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			return nil, err
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		pool.AddCert(parsed)
		if i == s.id {
			c.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
		}
	}
	return c, nil
}

// connect listens to the others and keeps a connection to each.
func (s *smart) connect() error {
	config, err := s.tlsConfig()
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", s.peer(s.id), config)
	if err != nil {
		return err
	}
	for i := 1; i <= replicas; i++ {
		if i == s.id {
			continue
		}
		s.links[i] = wire.NewQueue()
		own := config.Clone()
		own.ServerName = linkName(i)
		go s.feed(i, own)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return nil
}

// serve reads what a replica sends, whose number comes first.
func (s *smart) serve(c net.Conn) {
	defer c.Close()
	var who [1]byte
	if _, err := io.ReadFull(c, who[:]); err != nil || who[0] < 1 || who[0] > replicas {
		return
	}
	_ = wire.ReadFrames(c, func(b []byte) { s.receive(int(who[0]), b) })
}

// feed sends what is queued for a replica, over a new connection when one fails.
func (s *smart) feed(to int, config *tls.Config) {
	for ; ; time.Sleep(20 * time.Millisecond) {
		c, err := tls.Dial("tcp", s.peer(to), config)
		if err != nil {
			continue
		}
		if _, err := c.Write([]byte{byte(s.id)}); err == nil {
			_ = s.links[to].Run(c)
		}
		_ = c.Close()
	}
}
