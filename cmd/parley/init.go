package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
)

func newInit() *cobra.Command {
	p := clusterPlan{}
	var weights []string
	var admit []string
	cmd := &cobra.Command{
		Use:   "init --dir DIR",
		Short: "Make keys, cluster file and folders of a new cluster",
		Long: `Make everything a new cluster needs:

  DIR/cluster.json             who the members are; the same on every machine
  DIR/replica-N/key.json       the private keys of replica N, for its machine only
  DIR/replica-N/replica.json   its local settings: listeners, log, limits
  DIR/replica-N/data/          its data folder, marked as never started; in it will be store
                               (the log), snapshots, and state where the application
                               keeps it on the disk
  DIR/client.key, .2, .3, .4   clients' keys, for this program's commands

The cluster serves the clients whose keys are made here, and those of --admit. Each
process that talks to it at a time takes a key; --client-keys makes more. --open
serves anybody who can reach it: for experiments only. The list of clients is part
of the cluster's identity, so think of all of them now.

For a cluster on several machines edit the addresses in cluster.json, copy it
together with one replica-N folder to each machine (into the same layout), and
delete the other machines' keys. Addresses are no part of the cluster's identity;
changing anything else makes it another cluster.

--app says what the replicas run: kv is a key-value store in memory, kv-store the same
on the disk, with proofs and earlier heights, larger than memory; ledger, registry and
contract are on the disk too. --policy puts an access policy around any but kv; the keys
that are made here become members of its role client, and those of the JSON-RPC
endpoints of its role gateway, if it has these.

A data folder made here may start with an empty log exactly once. Never run init
again to repair a replica: start it with an empty data folder, and it rejoins.`,
		Example: `  parley init --dir demo --replicas 4
  parley init --dir bank --replicas 5 --weights 2,2,1,1,1 --name bank
  parley init --dir prod --host 10.0.0.1 --admit $(parley keygen alice.key)`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.dir == "" {
				return usagef(cmd, "--dir is missing: name the folder to make")
			}
			if err := p.setWeights(weights); err != nil {
				return usagef(cmd, "--weights: %v", err)
			}
			if err := p.setClients(admit); err != nil {
				return usagef(cmd, "%v", err)
			}
			if err := p.setApplication(); err != nil {
				return usagef(cmd, "%v", err)
			}
			if err := p.validate(); err != nil {
				return usagef(cmd, "%v", err)
			}
			made, err := p.write()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "Cluster %q with %d replicas in %s; %s of weight %d may be faulty.\n",
				made.cluster.Name, len(made.cluster.Members), p.dir, "replicas", made.cluster.FaultyWeight())
			fmt.Fprintf(out, "Cluster id %s\n\n", made.cluster.ID().Hex())
			fmt.Fprintf(out, "  %-28s members, keys, weights, parameters\n", clusterFileName)
			for i := range made.cluster.Members {
				m := &made.cluster.Members[i]
				fmt.Fprintf(out, "  %-28s weight %d, peers %s, clients %s\n", replicaName(i)+"/", m.Weight, m.PeerAddress, m.ClientAddress)
			}
			if p.open {
				fmt.Fprintf(out, "  %-28s for put, get, load and the like\n\n", clientKeyName)
			} else {
				fmt.Fprintf(out, "  %-28s for put, get, load and the like: %d of them at a time,\n  %-28s and nobody else but --admit, may talk to the cluster\n\n",
					clientKeyName+", .2 ...", p.clientKeys, "")
			}
			warnOpen(out, made.cluster)
			for _, w := range made.cluster.Warnings() {
				fmt.Fprintf(out, "Note: %s.\n", w)
			}
			fmt.Fprintf(out, "Start each replica:   %s start --dir %s\n", invocation(), replicaDir(p.dir, 0))
			fmt.Fprintf(out, "or all of them here:  %s cluster --dir %s\n", invocation(), p.dir)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.dir, "dir", "", "folder to make")
	p.flags(cmd)
	f.StringVar(&p.host, "host", "127.0.0.1", "host in the replicas' addresses")
	f.IntVar(&p.basePort, "base-port", 7700, "first port; peers from here, clients 100 above, operators 200 above")
	f.StringSliceVar(&weights, "weights", nil, "a weight for each replica, such as 2,2,1,1,1 (default 1 each)")
	f.StringSliceVar(&admit, "admit", nil, "public key of another client to serve, as keygen prints it")
	return cmd
}

// flags are those that init and cluster share.
func (p *clusterPlan) flags(cmd *cobra.Command) {
	d := crypto.DefaultParameters()
	f := cmd.Flags()
	f.IntVar(&p.replicas, "replicas", 4, "number of replicas")
	f.StringVar(&p.name, "name", "parley", "name of the cluster, for people")
	f.StringVar(&p.app, "app", defaultApplication, "what the replicas run: "+applicationNames())
	f.StringVar(&p.genesisFile, "genesis", "", "JSON file that says what the application starts with, where it takes that")
	f.StringVar(&p.policyFile, "policy", "", "JSON file with an access policy to put around the application ('parley access --help')")
	f.StringVar(&p.scheme, "scheme", "", "signatures of votes: ed25519 or bls (default by the number of replicas)")
	f.Uint64Var(&p.checkpointEvery, "checkpoint-every", d.CheckpointEvery, "blocks between checkpoints with a snapshot")
	f.Uint64Var(&p.window, "window", d.Window, "blocks that the order may run ahead of execution")
	f.BoolVar(&p.open, "open", false, "serve anybody, not only the holders of keys that are listed")
	f.IntVar(&p.clientKeys, "client-keys", 4, "clients' keys to make: as many commands can run at a time")
	f.BoolVar(&p.allowDominant, "allow-dominant", false, "permit replicas whose weight alone exceeds what may be faulty")
}
