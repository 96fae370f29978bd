/* SPDX-License-Identifier: Apache-2.0 */
/* How the training samples of one data set are divided between nodes whose data differ, for experiments (--split). Called
 * by the feed. Arithmetic alone: every node derives the same division from the seed and the labels, and asks no other node.
 *
 * dirichlet:A. Of each class the nodes have parts in proportions drawn from the symmetric Dirichlet distribution of
 * parameter A, independently for each class (Yurochkin et al. 2019, arXiv 1905.12022; Hsu et al. 2019, arXiv 1909.06335,
 * draw the classes of each node in the same way). The mean part is 1/n and its variance (1/n)(1 - 1/n) / (n A + 1). A part
 * ends at the cumulated proportion times the samples of the class, rounded down.
 *
 * label:K. The classes are dealt like cards, K to each node in turn. When a shuffled pack of all classes is used up, the
 * next one is begun; classes that the node in turn has already go to the end of that pack. So a node has K different classes,
 * and the numbers of nodes that have a class differ by one at most. Those nodes share its samples equally.
 * Where n K is below the number of classes, those that are not dealt belong to no node.
 *
 * Each sample belongs to one node, but for these. The samples of a class are shuffled before they are divided. A class without
 * samples does not count. A node that got no sample takes one of the largest class of the node that has the most. */
#ifndef SGP_DATA_DIVISION_H
#define SGP_DATA_DIVISION_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum division_kind {
    DIVISION_IID, /* no node has data of its own */
    DIVISION_DIRICHLET,
    DIVISION_LABEL
} division_kind_t;

#define DIVISION_LEAST_ALPHA 0.001
#define DIVISION_MOST_ALPHA  1e6

/* A rule; zeros are iid. */
typedef struct division_rule {
    division_kind_t kind;
    int labels;   /* K of label:K, >= 1 */
    double alpha; /* A of dirichlet:A, DIVISION_LEAST_ALPHA to DIVISION_MOST_ALPHA */
} division_rule_t;

enum { DIVISION_TEXT = 40 };

/* "iid", "dirichlet:0.1", "label:2". false: the text is no rule, or A or K is out of range; *rule is then unchanged. */
bool division_parse(const char *text, division_rule_t *rule);

/* The same back, with 17 digits at most. Returns text. */
const char *division_print(const division_rule_t *rule, char text[DIVISION_TEXT]);

typedef struct division_options {
    division_rule_t rule; /* not iid */
    int nodes;            /* > 0 */
    int classes;          /* > 0; each label is below it */
    uint64_t count;       /* samples, > 0 */
    uint64_t seed;
    uint32_t (*label)(const void *context, uint64_t sample); /* sample < count */
    const void *context;                                     /* borrowed for the call */
} division_options_t;

/* The division as a table. Release it with division_fini. */
typedef struct division {
    int nodes, classes;
    uint64_t *counts; /* (nodes, classes) samples */
} division_t;

/* Whether the rule can divide `count` samples of so many classes in a new run, and leave none out. SGP_ERR_INVALID, logged:
 * fewer samples than nodes; label:K with K above the classes, or too low to deal each class. */
sgp_status_t division_check(const division_rule_t *rule, int nodes, int classes, uint64_t count);

/* Sets *division only on success. Leaves out classes if it has to: of a run that goes on with fewer nodes. SGP_ERR_INVALID,
 * logged: fewer samples than nodes; label:K with K above the classes that have samples. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t division_init(division_t *division, const division_options_t *options);
void division_fini(division_t *division); /* zeros are fine */

/* Samples of a node. node < nodes. */
uint64_t division_total(const division_t *division, int node);

/* Equal where two divisions are. */
uint64_t division_hash(const division_t *division);

/* The samples of a node, ascending. samples: (division_total). options: those of division_init. SGP_ERR_NO_MEMORY,
 * logged. */
sgp_status_t division_list(const division_t *division, const division_options_t *options, int node,
                           uint64_t *samples);

#endif
