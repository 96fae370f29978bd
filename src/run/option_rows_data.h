/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of option_rows.c: data that differ between nodes, and the norm of gradients. Nothing else includes them. */
#ifndef SGP_RUN_OPTION_ROWS_DATA_H
#define SGP_RUN_OPTION_ROWS_DATA_H

#define MORE_SPLIT                                                                                 \
    "*iid*: each epoch divides all samples anew between the nodes. *dirichlet:A*: each node has "  \
    "a fixed part of each class, in proportions drawn from a Dirichlet distribution; with A 0.1 "  \
    "a node has few classes, with A 100 all of them alike. *label:K*: each node has samples of K " \
    "classes. All of it follows from *--seed*. An epoch has as many steps as without it: a node "  \
    "with fewer samples goes through them again in another order, and one with more takes "        \
    "others in each epoch. A lost node takes its samples with it."

#define MORE_PRIVATE                                                                               \
    "Give each node its own *--data*, or put *{node}*, its number, into the path. Shape and "      \
    "classes must be the same. An epoch is as long as that of the node with the most samples, "    \
    "and one with fewer goes through them again in another order. Pixels are normalised by mean "  \
    "and deviation over all nodes. Each node's test set counts, every sample with the same "       \
    "weight. After a node is lost, the others do not read its data."

#define MORE_CLIP                                                                                  \
    "Each process scales its own gradient, the mean over its batch, if its norm is above C. That " \
    "is before gradients of workers or of *allreduce* are averaged."

#define DATA_ROWS                                                                                  \
    {.name = "split",                                                                              \
     .argument = "RULE",                                                                           \
     .type = OPTION_PARSED,                                                                        \
     .section = SECTION_EXPERIMENTS,                                                               \
     .offset = AT(split),                                                                          \
     .initial = "iid",                                                                             \
     .parse = value_parse_split,                                                                   \
     .print = value_print_split,                                                                   \
     .wanted = "iid, dirichlet:A with A from 0.001 to 1e6, or label:K with K 1 or more, such as "  \
               "dirichlet:0.1",                                                                    \
     .agreed = 47,                                                                                 \
     .help = "divide the samples between nodes so that their classes differ: iid, dirichlet:A "    \
             "or label:K",                                                                         \
     .more = MORE_SPLIT},                                                                          \
        {.name = "private-data",                                                                   \
         .type = OPTION_FLAG,                                                                      \
         .section = SECTION_TRAINING,                                                              \
         .offset = AT(private_data),                                                               \
         .agreed = 48,                                                                             \
         .help = "each node has files of its own, which differ from those of the others",          \
         .more = MORE_PRIVATE},                                                                    \
    {                                                                                              \
        .name = "clip-norm", .argument = "C", .type = OPTION_REAL, .section = SECTION_TRAINING,    \
        .offset = AT(clip_norm), .shown = "none", .min = DBL_MIN, .max = 1e30,                     \
        .wanted = "a number above 0, such as 1", .agreed = 49,                                     \
        .help = "the largest Euclidean norm of a gradient", .more = MORE_CLIP                      \
    }

#endif
