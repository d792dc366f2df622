package replica

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClusterCommits(t *testing.T) {
	c := newTestCluster(t, 4, nil)
	c.startAll()
	for i := range 20 {
		r := c.submit(i%4, fmt.Sprintf("op %d", i))
		require.Equal(t, fmt.Sprint(i+1), string(r.Data))
	}
	c.eventually("all replicas have executed everything", func() bool {
		for _, m := range c.machines {
			if len(m.list()) != 20 {
				return false
			}
		}
		return true
	})
	for _, m := range c.machines[1:] {
		require.Equal(t, c.machines[0].list(), m.list())
	}
}
