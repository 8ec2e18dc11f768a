package oplog

import (
	"maps"
	"slices"
	"time"
)

const (
	maxScenarios = 10
	maxSources   = 64
	// otherSources counts those of callers that name more sources than are kept.
	otherSources = "other"
)

// Stats counts the operations since the log was opened, and those before that it still had in memory then.
type Stats struct {
	Total           uint64            `json:"total"`
	Successes       uint64            `json:"successes"`
	Failures        uint64            `json:"failures"`
	BySource        map[string]uint64 `json:"bySource"`
	RecentScenarios []Scenario        `json:"recentScenarios"` // of SourceScenario, the last ten, newest first
}

// Scenario is the outcome of a synthetic probe.
type Scenario struct {
	Time   time.Time `json:"time"`
	OK     bool      `json:"ok"`
	Kind   string    `json:"kind"`
	CartID string    `json:"cartId"`
}

// stats keeps Stats; RecentScenarios are in the ring.
type stats struct {
	Stats
	scenarios ring[Scenario]
}

func newStats() stats {
	return stats{Stats: Stats{BySource: map[string]uint64{}}, scenarios: newRing[Scenario](maxScenarios)}
}

func (s *stats) add(o *Operation) {
	s.Total++
	if o.OK {
		s.Successes++
	} else {
		s.Failures++
	}
	source := o.Source
	if _, is := s.BySource[source]; !is && len(s.BySource) >= maxSources {
		source = otherSources
	}
	s.BySource[source]++
	if o.Source == SourceScenario {
		s.scenarios.put(Scenario{Time: o.Time, OK: o.OK, Kind: o.Kind, CartID: o.Cart})
	}
}

// snapshot returns a copy.
func (s *stats) snapshot() Stats {
	out := s.Stats
	out.BySource = maps.Clone(s.BySource)
	out.RecentScenarios = make([]Scenario, s.scenarios.len())
	for i := range out.RecentScenarios {
		out.RecentScenarios[i] = *s.scenarios.get(i)
	}
	slices.Reverse(out.RecentScenarios)
	return out
}
