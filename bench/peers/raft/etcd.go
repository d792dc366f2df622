package main

import (
	"fmt"
	"net/url"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"
)

// runEtcd is etcd with its defaults: heartbeat 100 ms, election 1 s, fsync on.
func runEtcd(n node) error {
	cfg := embed.NewConfig()
	cfg.Name = fmt.Sprintf("n%d", n.id)
	cfg.Dir = n.dir
	cfg.LogLevel = "error"
	cfg.QuotaBackendBytes = 8 << 30
	urls := func(address string) []url.URL { return []url.URL{{Scheme: "http", Host: address}} }
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = urls(n.client(n.id)), urls(n.client(n.id))
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = urls(n.peer(n.id)), urls(n.peer(n.id))
	var all []string
	for i := 1; i <= replicas; i++ {
		all = append(all, fmt.Sprintf("n%d=http://%s", i, n.peer(i)))
	}
	cfg.InitialCluster = strings.Join(all, ",")
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	return <-e.Err()
}
