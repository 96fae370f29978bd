/* SPDX-License-Identifier: Apache-2.0 */
/* Whole models against the naive network and against finite differences. */
#include "reference_network.h"

#include "model/model.h"

typedef struct scene {
    const char *name;
    int batch, height, width, channels, classes;
} scene_t;

/* Small images, because the naive network is slow. resnet20 ends in 2 x 2 and 3 x 2 pixels. */
static const scene_t SCENES[] = {
    {"mlp", 6, 7, 5, 1, 10},      {"mlp", 3, 4, 4, 3, 5},       {"lenet", 4, 12, 8, 1, 10},
    {"lenet", 3, 9, 11, 3, 4},    {"resnet20", 3, 8, 8, 1, 10}, {"resnet20", 2, 9, 7, 3, 10},
    {"resnet32", 3, 8, 9, 4, 10},
};
enum { SCENE_COUNT = sizeof SCENES / sizeof *SCENES };

typedef struct fixture {
    scene_t scene;
    model_t *model;
    size_t count, buffer_count;
    float *parameters, *buffers, *gradient, *images;
    int32_t *labels;
    reference_network_t *reference;
    double *parameters2, *buffers2, *gradient2;
} fixture_t;

static void set_up(fixture_t *f, const scene_t *s) {
    *f = (fixture_t){.scene = *s};
    model_options_t options = {.name = s->name,
                               .batch = s->batch,
                               .height = s->height,
                               .width = s->width,
                               .channels = s->channels,
                               .classes = s->classes};
    assert_int_equal(model_create(&options, &f->model), SGP_OK);
    f->count = model_parameter_count(f->model);
    f->buffer_count = model_buffer_count(f->model);
    f->parameters = make_floats(f->count);
    f->buffers = make_floats(f->buffer_count);
    f->gradient = make_random(f->count, 1, 1.0); /* stale: all of it is overwritten */
    model_init_parameters(f->model, 7, f->parameters, f->buffers);
    /* Not the initial values, where half of a residual block has no gradient. */
    float *noise = make_random(f->count, 2, 0.1);
    for (size_t i = 0; i < f->count; i++) f->parameters[i] += noise[i];
    free(noise);
    f->images = make_random((size_t)(s->batch * s->height * s->width * s->channels), 3, 1.0);
    f->labels = make((size_t)s->batch, sizeof *f->labels);
    for (int i = 0; i < s->batch; i++) f->labels[i] = i * 3 % s->classes;
    f->reference = make(1, sizeof *f->reference);
    reference_network_init(f->reference, s->name, s->batch, s->height, s->width, s->channels,
                           s->classes);
    f->parameters2 = to_doubles(f->parameters, f->count);
    f->buffers2 = to_doubles(f->buffers, f->buffer_count);
    f->gradient2 = make_doubles(f->count);
    f->reference->parameters = f->parameters2;
    f->reference->buffers = f->buffers2;
    f->reference->d_parameters = f->gradient2;
    f->reference->training = true;
}

static void tear_down(fixture_t *f) {
    reference_network_fini(f->reference);
    model_destroy(f->model);
    void *all[] = {f->parameters, f->buffers,     f->gradient, f->images,   f->labels,
                   f->reference,  f->parameters2, f->buffers2, f->gradient2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static double train(fixture_t *f, int valid) {
    model_result_t result;
    assert_int_equal(model_train(f->model, f->parameters, f->buffers, f->images, f->labels,
                                 f->scene.batch, valid, f->gradient, &result),
                     SGP_OK);
    return valid ? result.loss_sum / valid : 0.0;
}

/* Tensor by tensor: the tolerance of a small one follows its own size, not that of the largest. */
static void compare_gradients(const fixture_t *f) {
    for (size_t i = 0; i < model_tensor_count(f->model); i++) {
        const model_tensor_t *t = model_tensor(f->model, i);
        if (t->is_buffer) continue;
        assert_close(t->name, f->gradient + t->offset, f->gradient2 + t->offset, t->count, 2e-4);
    }
}

static void gradients_agree_with_the_reference(void **state) {
    (void)state;
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        fixture_t f;
        set_up(&f, &SCENES[i]);
        double loss = train(&f, f.scene.batch);
        double expected = reference_network_run(f.reference, f.images, f.labels, f.scene.batch);
        assert_true(fabs(loss - expected) < 1e-5 * (1.0 + expected));
        compare_gradients(&f);
        tear_down(&f);
    }
}

/* Batch norm includes the invalid samples and the loss does not, as in the reference. */
static void samples_that_are_not_valid_have_no_loss(void **state) {
    enum { VALID = 1 };
    (void)state;
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        fixture_t f;
        set_up(&f, &SCENES[i]);
        double loss = train(&f, VALID);
        double expected = reference_network_run(f.reference, f.images, f.labels, VALID);
        assert_true(fabs(loss - expected) < 1e-5 * (1.0 + expected));
        compare_gradients(&f);
        tear_down(&f);
    }
}

static void evaluation_agrees_with_the_reference(void **state) {
    (void)state;
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        fixture_t f;
        set_up(&f, &SCENES[i]);
        train(&f, f.scene.batch); /* moves the running statistics */
        free(f.buffers2);
        f.reference->buffers = f.buffers2 = to_doubles(f.buffers, f.buffer_count);
        f.reference->training = false;
        f.reference->d_parameters = NULL;
        double expected = reference_network_run(f.reference, f.images, f.labels, f.scene.batch);
        model_result_t result;
        assert_int_equal(model_evaluate(f.model, f.parameters, f.buffers, f.images, f.labels,
                                        f.scene.batch, &result),
                         SGP_OK);
        double loss = result.loss_sum / f.scene.batch;
        assert_true(fabs(loss - expected) < 1e-4 * (1.0 + expected));
        tear_down(&f);
    }
}

/* In double precision through the naive network, whose loss equals the model's (tested above):
 * small steps, no rounding, and rarely a kink. */
static void gradients_agree_with_finite_differences(void **state) {
    (void)state;
    enum { COORDINATES = 6 };
    const double width = 1e-6;
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        fixture_t f;
        set_up(&f, &SCENES[i]);
        train(&f, f.scene.batch);
        f.reference->d_parameters = NULL;
        sgp_random_t random;
        sgp_random_init(&random, 11, i);
        for (int j = 0; j < COORDINATES; j++) {
            size_t at = (size_t)sgp_random_below(&random, f.count);
            double before = f.parameters2[at], sides[2];
            for (int side = 0; side < 2; side++) {
                f.parameters2[at] = before + (side ? width : -width);
                sides[side] = reference_network_run(f.reference, f.images, f.labels, f.scene.batch);
            }
            f.parameters2[at] = before;
            double slope = (sides[1] - sides[0]) / (2.0 * width);
            assert_true(fabs(slope - (double)f.gradient[at]) < 1e-4 + 1e-3 * fabs(slope));
        }
        tear_down(&f);
    }
}

/* The model's own loss: along the gradient it rises by the gradient's squared length. */
static void loss_rises_along_the_gradient(void **state) {
    (void)state;
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        fixture_t f;
        set_up(&f, &SCENES[i]);
        train(&f, f.scene.batch);
        double *g = to_doubles(f.gradient, f.count), squared = dot(f.gradient, g, f.count);
        double width = 1e-3 / sqrt(squared), sides[2];
        for (int side = 0; side < 2; side++) {
            for (size_t j = 0; j < f.count; j++)
                f.parameters[j] = (float)(f.parameters2[j] + (side ? width : -width) * g[j]);
            sides[side] = train(&f, f.scene.batch);
        }
        double slope = (sides[1] - sides[0]) / (2.0 * width);
        assert_true(fabs(slope / squared - 1.0) < 0.05);
        free(g);
        tear_down(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_agree_with_the_reference),
        cmocka_unit_test(samples_that_are_not_valid_have_no_loss),
        cmocka_unit_test(evaluation_agrees_with_the_reference),
        cmocka_unit_test(gradients_agree_with_finite_differences),
        cmocka_unit_test(loss_rises_along_the_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
