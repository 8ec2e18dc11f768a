//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// profileAll drives each server that has an operations port once more, behind the rounds, so that profiling costs none of
// them anything, and writes where its processor time went, and what it has allocated since it began, into o.profile.
func (o options) profileAll(ctx context.Context, targets []*target) error {
	workers := newWorkers(o.connections, o.carts)
	for _, t := range targets {
		if t.process.ops == "" {
			continue
		}
		path := filepath.Join(o.profile, strings.ReplaceAll(t.name, " ", "-"))
		seconds := max(1, int(o.round/time.Second))
		done := make(chan error, 1)
		go func() { // ends before this function does
			done <- fetch(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", t.process.ops, seconds), path+".cpu.pprof")
		}()
		_, err := workers.drive(ctx, t, time.Duration(seconds)*time.Second, o.pause)
		err = errors.Join(err, <-done, fetch(ctx, t.process.ops+"/debug/pprof/allocs", path+".allocs.pprof"))
		if err != nil {
			return fmt.Errorf("profile %s: %w", t.name, err)
		}
		fmt.Printf("%s: profiles of another %d s in %s.*.pprof\n", t.name, seconds, path)
	}
	return nil
}

// fetch writes what url answers to a file.
func fetch(ctx context.Context, url, path string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
