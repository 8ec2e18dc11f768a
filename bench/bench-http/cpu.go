//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of times in /proc: USER_HZ, 100 on every architecture that Go has (time(7), proc(5)).
const clockTick = time.Second / 100

// usage is how much processor time had been taken at one moment.
type usage struct {
	at        time.Time
	server    time.Duration
	generator time.Duration // this process
	machine   time.Duration // all that was not idle, what the hypervisor gave to others included
}

func usageOf(p *process) (usage, error) {
	server, err := p.cpu()
	if err != nil {
		return usage{}, err
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return usage{}, fmt.Errorf("getrusage: %w", err)
	}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return usage{}, err
	}
	machine, err := parseMachineStat(string(stat))
	return usage{time.Now(), server, time.Duration(own.Utime.Nano() + own.Stime.Nano()), machine}, err
}

// cpu returns the processor time that the process has taken, in user and kernel mode, in steps of clockTick.
func (p *process) cpu() (time.Duration, error) {
	select {
	case <-p.exited:
		return 0, p.failure("has ended")
	default:
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parseProcessStat(string(stat))
}

// parseProcessStat adds utime and stime, fields 14 and 15. The second one, the command's name, may hold anything.
func parseProcessStat(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("%.80q is no /proc/PID/stat", stat)
	}
	return sumTicks(fields[11:13])
}

// parseMachineStat adds all of the first line but idle and iowait, and guest times, which are in user and nice already.
func parseMachineStat(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, fmt.Errorf("%.80q is no /proc/stat", line)
	}
	busy, err := sumTicks(f[1:4])        // user, nice, system
	interrupts, err2 := sumTicks(f[6:9]) // irq, softirq, steal
	return busy + interrupts, errors.Join(err, err2)
}

func sumTicks(fields []string) (sum time.Duration, err error) {
	for _, f := range fields {
		n, err := strconv.ParseUint(f, 10, 48)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * clockTick
	}
	return sum, nil
}
