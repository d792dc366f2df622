package main

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is by how much the kernel may let a replica's threads sleep longer than they
// asked for.
//
// Go's runtime has a thread that looks after the others, and sleeps 20 us each time for
// as long as something happens now and then: in a replica under light load, always. With
// Linux's usual slack of 50 us that thread alone takes a tenth to a sixth of the
// replica's processor time. The replica's own timers are of milliseconds.
const timerSlack = 500 * time.Microsecond

const (
	// usualSlack is what Linux gives every process. Another one was chosen by whoever
	// started this one (systemd's TimerSlackNSec, for instance), and stays.
	usualSlack = 50 * time.Microsecond
	// slackVariable is in the environment of a program that was begun anew.
	slackVariable = "PARLEY_TIMER_SLACK"
)

// slackenTimers gives the process its slack. A thread has it from the one that began
// it, and the runtime's threads are there before main is: so the program begins anew, by
// exec, once. Where that cannot be done all stays as it is.
func slackenTimers() {
	_, again := os.LookupEnv(slackVariable)
	_ = os.Unsetenv(slackVariable) // it is not for processes that this one starts
	runtime.LockOSThread()         // prctl and exec are about the calling thread
	defer runtime.UnlockOSThread()
	if slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); again || err != nil || time.Duration(slack) != usualSlack {
		return
	}
	program, err := os.Executable()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack.Nanoseconds()), 0, 0, 0) != nil {
		return
	}
	mark := slackVariable + "=" + strconv.FormatInt(timerSlack.Nanoseconds(), 10)
	_ = syscall.Exec(program, os.Args, append(os.Environ(), mark)) // on success it does not return
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(usualSlack.Nanoseconds()), 0, 0, 0)
}
