// Package report keeps what came out of a chaos run, simulated or of real
// processes, in a folder of files, and draws it as one HTML page.
//
// Whoever runs something fills a [Run]:
//
//	folder, err := report.Create(dir)      // trace.txt is open from now on
//	folder.Trace("12ms 0->1 Vote ...")     // while it runs
//	err = folder.Finish(run)               // everything else
//
// The folder then has:
//
//	report.html        what a person looks at; it needs nothing else
//	options.json       what the run was made of
//	trace.txt          everything that happened, a line each
//	history.json       the operations of the clients
//	history.edn        the same as Jepsen writes it, for Knossos (keys and registers)
//	history.elle.edn   the same as transactions, for Elle (rw-register)
//	history.html       porcupine's drawing of the history, if whoever ran it wrote one
//	metrics.json       all the rest of the Run
//
// [Load] reads a folder again and [Render] draws it, so that pages of old runs can
// be made anew.
//
// The package depends on nothing but the standard library, and not on package
// chaos, which fills it.
package report
