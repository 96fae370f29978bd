/* SPDX-License-Identifier: Apache-2.0 */
/* What the transport needs of an MPI library, as a table of functions.
 *
 * Each MPI library has types and numbers of its own, so what calls it is compiled once for each: the module
 * libsgp-mpi-openmpi.so, libsgp-mpi-mpich.so, ..., which holds binding.c and exports this table alone. It is
 * loaded at run time (load.h): libsgp links against no MPI, and one libsgp works with several. A
 * module calls nothing of libsgp, so that it does not matter whether that is shared or static.
 *
 * Functions return 0 or an error code of MPI's for `describe`. None logs; none blocks if it does not
 * say so. Ranks are those of the communicator. */
#ifndef SGP_TRANSPORT_MPI_MPI_BINDING_H
#define SGP_TRANSPORT_MPI_MPI_BINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_MPI_BINDING        sgp_mpi_binding_1 /* the table's name, changed with its layout */
#define SGP_MPI_BINDING_SYMBOL "sgp_mpi_binding_1"

/* A communicator of our own and the requests under way on it. */
typedef struct sgp_mpi_comm sgp_mpi_comm_t;

/* What start has found. */
typedef struct sgp_mpi_state {
    bool ours;       /* we have initialised MPI */
    bool any_thread; /* threads may call MPI one at a time; false: only the main one may */
    bool main;       /* this is the main thread */
    bool finalized;  /* MPI is over in this process, and nothing else is set */
} sgp_mpi_state_t;

/* A message that has arrived and is this caller's to receive. */
typedef struct sgp_mpi_message {
    int src, tag;
    size_t bytes;
    uint64_t handle; /* the binding's */
} sgp_mpi_message_t;

typedef struct sgp_mpi_binding {
    /* Initialises MPI if nobody has. Blocks. */
    int (*start)(sgp_mpi_state_t *state);
    int (*end)(void); /* MPI_Finalize. Blocks */

    /* A new communicator of all processes (parent NULL), or of those of the parent that give the same part,
     * ordered by key; *comm is NULL where part is negative. Collective; blocks. */
    int (*create)(sgp_mpi_comm_t *parent, int part, int key, sgp_mpi_comm_t **comm);
    int (*place)(sgp_mpi_comm_t *comm, int *rank, int *size);

    /* Nothing is under way: collective. Otherwise the communicator is left to the end of the process. */
    void (*destroy)(sgp_mpi_comm_t *comm);

    /* Each gives `bytes`; all get (size, bytes). Collective; blocks. */
    int (*gather)(sgp_mpi_comm_t *comm, const void *mine, int bytes, void *all);

    /* The sum over the ranks, in place. Collective; blocks, and waits as MPI does. */
    int (*sum)(sgp_mpi_comm_t *comm, float *values /* (count) */, size_t count);

    /* What lies at buffer stays there until `test` has given the cookie back. bytes: at most INT_MAX. */
    int (*send)(sgp_mpi_comm_t *comm, const void *buffer, size_t bytes, int dst, int tag,
                void *cookie);
    int (*receive)(sgp_mpi_comm_t *comm, const sgp_mpi_message_t *message, void *buffer,
                   void *cookie);

    /* The next message, of anybody; those of one rank come in the order in which it sent them. */
    int (*probe)(sgp_mpi_comm_t *comm, sgp_mpi_message_t *message, bool *found);

    /* The cookies of requests that are complete; valid until the next call. */
    int (*test)(sgp_mpi_comm_t *comm, void ***cookies, int *count);
    int (*pending)(const sgp_mpi_comm_t *comm); /* requests under way */

    void (*describe)(int code, char *text, size_t room);
} sgp_mpi_binding_t;

#endif
