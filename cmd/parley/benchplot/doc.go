// Package benchplot draws measurements as a chart: series of points, the vertical axis
// logarithmic, as one SVG without anything from outside.
package benchplot
