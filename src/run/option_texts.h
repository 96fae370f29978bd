/* SPDX-License-Identifier: Apache-2.0 */
/* The longest texts of option_rows.c, for the manual. Nothing else includes them. */
#ifndef SGP_RUN_OPTION_TEXTS_H
#define SGP_RUN_OPTION_TEXTS_H

#define MORE_QUORUM                                                                                \
    "Only where the nodes go on without a lost one. Of a network that is cut in two no more "      \
    "than one part goes on: the one with more than this part of the nodes, or exactly so many "    \
    "and the lowest of them. Each node of the other part saves its own state in "                  \
    "*paused/node-R* of the run's directory, and goes on once it hears enough of the others "      \
    "again. Nodes that have left or were seen to end do not count. With 0 both parts go on, as "   \
    "two runs."

#define MORE_GRACE                                                                                 \
    "Where the nodes go on without a lost one, SIGTERM or SIGUSR1 to the process of one node "     \
    "lets it leave: all nodes write a checkpoint, the node delivers what it has sent and ends "    \
    "with exit status 0, and the others go on. If all nodes are told within half a second, the "   \
    "run ends as after Ctrl-C. A second SIGTERM ends the node at once. If the others do not "      \
    "come to a checkpoint in time, the node leaves without one; a gradient or a file that has "    \
    "been begun is finished first."

#define MORE_RESUME                                                                                \
    "The newest checkpoint that is whole on all nodes counts. The run ends with the same "         \
    "parameters, bit for bit, as if it had never stopped. With another number of *--nodes* "       \
    "each node reads all files of the checkpoint and begins with their mean; the epoch goes on "   \
    "with the samples that are left, and the learning rate follows the global batch. Apart "       \
    "from that only --data (if the same data have moved), --data-threads, --on-bad-image, "        \
    "--transport, --on-loss, --min-nodes, --quorum, --pause-limit, --max-nodes, --grace, "         \
    "--output, --checkpoint-every, --checkpoint-minutes, --metrics-seconds, --keep-going, "        \
    "--tensorboard, --trace, --quiet and --json may be given new values. Without --output the "    \
    "run continues in DIR. Of "                                                                    \
    "a finished run the summary is printed."

#define MORE_ON_LOSS                                                                               \
    "*continue*: a run over shm, tcp or auto trains on, and its summary names the lost "           \
    "nodes. The others take the samples that the lost nodes had left, the learning rate "          \
    "follows the global batch, and checkpoints are of the nodes that are left. Nodes of "          \
    "several workers, *--algorithm server*, a ring with one peer, and *--transport mpi*, where "   \
    "MPI ends the job, "                                                                           \
    "stop. *stop*: the loss of a node ends the run of all; *--resume* continues it."

#define HELP_ALGORITHM                                                                             \
    "how the nodes average; 0:allreduce,5:sgp is sgp from epoch 5 on; osgp costs accuracy: "       \
    "with it take half the --lr, or --clip-norm 1"

#define MORE_ALGORITHM                                                                             \
    "*sgp* is Stochastic Gradient Push in lock step; *osgp* is the same with communication "       \
    "beside the computation. It is less accurate: a node takes each gradient at a point that "     \
    "has its own last step in full and not yet those of the others. No cure is known; half the "   \
    "*--lr* or *--clip-norm 1* gives a margin, and *sgp* avoids it. In *dpsgd* pairs average "     \
    "with each other in each step; in "                                                            \
    "*adpsgd* pairs average whenever one of them is ready; *allreduce* takes the exact mean "      \
    "of all gradients in every step. *server* is an asynchronous parameter server on node 0, for " \
    "comparison: every gradient counts lr / N when it arrives. A schedule counts epochs from 0."

#define MORE_RECIPE                                                                                \
    "*paper* is the recipe of Stochastic Gradient Push for ImageNet: 90 epochs, 256 samples "      \
    "per node and step, shared by its workers (rounded up), lr 0.1, a warm-up of 5/90 of the "     \
    "epochs, steps at 30/90, 60/90 and 80/90 of them, Nesterov momentum 0.9, weight decay "        \
    "1e-4, and augmentation."

#endif
