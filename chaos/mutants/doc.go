// Package mutants asks whether the simulator can see: it breaks one rule of the
// product at a time and demands that a run says so.
//
// A [Mutant] is a change of one rule, written as the text to replace in a source
// file. The sources themselves stay clean: [Build] gives the Go compiler an
// overlay in which every site chooses, at run time, between the rule and its
// mutant, so that one build holds all of them. A site whose text does not occur
// exactly once in its file is an error: a mutant cannot rot unnoticed.
//
// [Judge] runs a mutant on a spread of seeds until an invariant is violated, and
// says which, after how many seeds and how much time, and how little of the seed's
// options is needed for it.
package mutants
