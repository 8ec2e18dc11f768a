package memlog_test

import (
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
	"cartd/internal/eventlog/memlog"
)

func TestContract(t *testing.T) {
	logtest.Run(t, func(t *testing.T) eventlog.Store { return memlog.New() })
}
