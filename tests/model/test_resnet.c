/* SPDX-License-Identifier: Apache-2.0 */
/* The residual networks: the counts, shapes and names of torchvision 0.29 (resnet18 to resnet101),
 * and gradients. tests/model/torch_networks.py compares their numbers with torch's. */
#include "reference_network.h"

#include "model/model.h"

/* parameters, tensors: sum(p.numel() for p in net.parameters()) and the state dict's length without
 * num_batches_tracked, of torchvision.models.resnetN(); statistics: twice the sum of num_features.
 * Those for small images are counted from the paper's description, with option B: at 6n + 2 layers,
 * a stage of c channels has 2n - 1 convolutions of 9 c c, one of 9 c c / 2 and a shortcut of
 * c c / 2 (the first stage: 2n of 9 c c), and each batch norm 2 c. */
typedef struct known {
    const char *name;
    int side, channels, classes;
    size_t parameters, statistics, tensors;
    double
        work; /* 1e9 multiply-adds: "_ops" in the metadata of torchvision's weights; 0: unknown */
} known_t;

enum { N20 = 3, N32 = 5, N56 = 9 };
#define SMALL_STAGE(n, c) ((2 * (n)-1) * 9 * (c) * (c) + 9 * (c) * (c) / 2 + (c) * (c) / 2)
#define SMALL_PARAMETERS(n, channels, classes)                                                     \
    (9 * 16 * (channels) + 2 * (n)*2304 + SMALL_STAGE(n, 32) + SMALL_STAGE(n, 64) +                \
     2 * SMALL_NORMS(n) + 65 * (classes))
#define SMALL_NORMS(n) ((2 * (n) + 1) * (16 + 32 + 64))
/* A convolution with its batch norm has five tensors, the dense layer two. */
#define SMALL_TENSORS(n) (5 * (6 * (n) + 3) + 2)

static const known_t KNOWN[] = {
    {"resnet18", 224, 3, 1000, 11689512, 9600, 102, 1.814},
    {"resnet34", 224, 3, 1000, 21797672, 17024, 182, 3.664},
    {"resnet50", 224, 3, 1000, 25557032, 53120, 267, 4.089},
    {"resnet101", 224, 3, 1000, 44549160, 105344, 522, 7.801},
    {"resnet20", 32, 3, 10, SMALL_PARAMETERS(N20, 3, 10), 2 * SMALL_NORMS(N20), SMALL_TENSORS(N20),
     0},
    {"resnet32", 28, 1, 10, SMALL_PARAMETERS(N32, 1, 10), 2 * SMALL_NORMS(N32), SMALL_TENSORS(N32),
     0},
    {"resnet56", 32, 4, 100, SMALL_PARAMETERS(N56, 4, 100), 2 * SMALL_NORMS(N56),
     SMALL_TENSORS(N56), 0},
};
enum { KNOWN_COUNT = sizeof KNOWN / sizeof *KNOWN };

static model_t *create(const char *name, int batch, int side, int channels, int classes) {
    model_t *model = NULL;
    assert_int_equal(model_create(&(model_options_t){.name = name,
                                                     .batch = batch,
                                                     .height = side,
                                                     .width = side,
                                                     .channels = channels,
                                                     .classes = classes},
                                  &model),
                     SGP_OK);
    return model;
}

static void counts_are_the_known_ones(void **state) {
    (void)state;
    for (int i = 0; i < KNOWN_COUNT; i++) {
        const known_t *known = &KNOWN[i];
        model_t *model = create(known->name, 1, known->side, known->channels, known->classes);
        assert_int_equal(model_parameter_count(model), known->parameters);
        assert_int_equal(model_buffer_count(model), known->statistics);
        assert_int_equal(model_tensor_count(model), known->tensors);
        size_t parameters = 0;
        double work = 0.0;
        for (size_t j = 0; j < model_layer_count(model); j++) {
            model_layer_t layer = model_layer(model, j);
            parameters += layer.parameters;
            work += layer.multiply_adds;
        }
        assert_int_equal(parameters, known->parameters);
        if (known->work > 0.0) assert_true(fabs(work / 1e9 - known->work) < 0.0006);
        model_destroy(model);
    }
}

static const model_tensor_t *find(const model_t *model, const char *name) {
    for (size_t i = 0; i < model_tensor_count(model); i++)
        if (!strcmp(model_tensor(model, i)->name, name)) return model_tensor(model, i);
    fail_msg("no tensor %s", name);
    return NULL;
}

static bool has(const model_t *model, const char *name) {
    for (size_t i = 0; i < model_tensor_count(model); i++)
        if (!strcmp(model_tensor(model, i)->name, name)) return true;
    return false;
}

static void assert_shape(const model_t *model, const char *name, int64_t a, int64_t b, int64_t c) {
    const model_tensor_t *tensor = find(model, name);
    assert_int_equal(tensor->shape[0], a);
    if (tensor->dims > 1) assert_int_equal(tensor->shape[1], b);
    if (tensor->dims > 2) assert_int_equal(tensor->shape[2], c);
}

/* Printed by torchvision: {k: tuple(v.shape) for k, v in resnetN().state_dict().items()}. */
static void names_and_shapes_are_those_of_torchvision(void **state) {
    (void)state;
    model_t *model = create("resnet50", 1, 64, 3, 1000);
    assert_shape(model, "conv1.weight", 64, 3, 7);
    assert_shape(model, "bn1.running_var", 64, 0, 0);
    assert_shape(model, "layer1.0.conv1.weight", 64, 64, 1);
    assert_shape(model, "layer1.0.conv2.weight", 64, 64, 3);
    assert_shape(model, "layer1.0.conv3.weight", 256, 64, 1);
    assert_shape(model, "layer1.0.downsample.0.weight", 256, 64, 1);
    assert_shape(model, "layer1.0.downsample.1.running_mean", 256, 0, 0);
    assert_shape(model, "layer1.1.conv1.weight", 64, 256, 1);
    assert_shape(model, "layer4.2.bn3.bias", 2048, 0, 0);
    assert_shape(model, "fc.weight", 1000, 2048, 0);
    assert_false(has(model, "layer1.1.downsample.0.weight"));
    assert_false(has(model, "layer3.6.conv1.weight"));
    model_destroy(model);
    model = create("resnet18", 1, 64, 3, 1000);
    assert_shape(model, "layer1.0.conv1.weight", 64, 64, 3);
    assert_shape(model, "layer2.0.conv1.weight", 128, 64, 3);
    assert_shape(model, "layer2.0.downsample.0.weight", 128, 64, 1);
    assert_shape(model, "fc.weight", 1000, 512, 0);
    assert_false(has(model, "layer1.0.downsample.0.weight"));
    assert_false(has(model, "layer1.2.conv1.weight"));
    assert_false(has(model, "layer1.0.conv3.weight"));
    model_destroy(model);
}

static void layers_tell_their_shape(void **state) {
    (void)state;
    static const struct {
        const char *name, *kind;
        int side, channels;
        double work;
    } known[] = {
        {"conv1", "convolution", 112, 64, 112.0 * 112 * 64 * 3 * 49},
        {"maxpool", "max pooling", 56, 64, 0},
        {"layer1.2.bn3", "batch norm", 56, 256, 0},
        {"layer2.0.conv1", "convolution", 56, 128, 56.0 * 56 * 128 * 256},
        {"layer2.0.conv2", "convolution", 28, 128, 28.0 * 28 * 128 * 128 * 9}, /* strides here */
        {"avgpool", "average pooling", 1, 2048, 0},
        {"fc", "dense", 1, 1000, 2048000},
    };
    model_t *model = create("resnet50", 1, 224, 3, 1000);
    size_t found = 0;
    for (size_t i = 0; i < model_layer_count(model); i++) {
        model_layer_t layer = model_layer(model, i);
        if (found == sizeof known / sizeof *known || strcmp(layer.name, known[found].name) != 0)
            continue;
        assert_string_equal(layer.kind, known[found].kind);
        assert_int_equal(layer.height, known[found].side);
        assert_int_equal(layer.width, known[found].side);
        assert_int_equal(layer.channels, known[found].channels);
        assert_true(layer.multiply_adds == known[found].work);
        found++;
    }
    assert_int_equal(found, sizeof known / sizeof *known);
    model_destroy(model);
}

static double square_mean(const float *values, size_t count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += (double)values[i] * (double)values[i];
    return sum / (double)count;
}

/* kaiming_normal_(mode="fan_out", nonlinearity="relu") and torch.nn.Linear's bounds. */
static void initial_values_are_those_of_torchvision(void **state) {
    (void)state;
    model_t *model = create("resnet50", 1, 64, 3, 1000);
    float *parameters = make_floats(model_parameter_count(model));
    float *buffers = make_floats(model_buffer_count(model));
    model_init_parameters(model, 3, parameters, buffers);
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        const model_tensor_t *t = model_tensor(model, i);
        const float *values = parameters + t->offset;
        bool fc = strncmp(t->name, "fc", 2) == 0;
        if (t->dims == 4) {
            double expected = 2.0 / (double)(t->shape[0] * t->shape[2] * t->shape[3]);
            double ratio = square_mean(values, t->count) / expected;
            assert_true(fabs(ratio - 1.0) < 6.0 * sqrt(2.0 / (double)t->count));
        } else if (fc) {
            double bound = 1.0 / sqrt(2048.0), largest = 0.0;
            for (size_t j = 0; j < t->count; j++) largest = fmax(largest, fabs((double)values[j]));
            assert_true(largest <= bound && largest > 0.98 * bound);
            double ratio = square_mean(values, t->count) / (bound * bound / 3.0);
            assert_true(fabs(ratio - 1.0) < 6.0 / sqrt((double)t->count));
        } else if (!t->is_buffer) {
            bool scale = strstr(t->name, ".weight"), last = strstr(t->name, "bn3");
            for (size_t j = 0; j < t->count; j++)
                assert_true(values[j] == (scale && !last ? 1.0f : 0.0f));
        }
    }
    free(parameters), free(buffers);
    model_destroy(model);
}

typedef struct fixture {
    model_t *model;
    size_t count, buffer_count;
    float *parameters, *buffers, *gradient, *images;
    int32_t labels[8];
    int batch;
} fixture_t;

/* Random scales and shifts of batch norms: with the initial zeros the branches have no gradient. */
static void set_up(fixture_t *f, const char *name, int batch, int side, int classes) {
    f->model = create(name, f->batch = batch, side, 3, classes);
    f->count = model_parameter_count(f->model);
    f->buffer_count = model_buffer_count(f->model);
    f->parameters = make_floats(f->count);
    f->buffers = make_floats(f->buffer_count);
    f->gradient = make_floats(f->count);
    f->images = make_random((size_t)(batch * side * side * 3), 2, 1.0);
    model_init_parameters(f->model, 3, f->parameters, f->buffers);
    sgp_random_t random;
    sgp_random_init(&random, 4, 0);
    for (size_t i = 0; i < model_tensor_count(f->model); i++) {
        const model_tensor_t *t = model_tensor(f->model, i);
        bool scale = strstr(t->name, ".weight") != NULL;
        double size = strstr(t->name, "bn3") ? 0.3 : 1.0; /* so that blocks add up gently */
        if (t->is_buffer || t->dims > 1 || strncmp(t->name, "fc", 2) == 0) continue;
        for (size_t j = 0; j < t->count; j++)
            f->parameters[t->offset + j] = (float)(size * (scale ? 0.5 + sgp_random_double(&random)
                                                                 : sgp_random_normal(&random) / 4));
    }
    for (int i = 0; i < batch; i++) f->labels[i] = i * 3 % classes;
}

static void tear_down(fixture_t *f) {
    model_destroy(f->model);
    free(f->parameters), free(f->buffers), free(f->gradient), free(f->images);
}

static double train(fixture_t *f) {
    model_result_t result;
    assert_int_equal(model_train(f->model, f->parameters, f->buffers, f->images, f->labels,
                                 f->batch, f->batch, f->gradient, &result),
                     SGP_OK);
    return result.loss_sum / f->batch;
}

/* The naive network in double precision: 7x7 stem, padded max pooling, all stages. */
static void resnet18_agrees_with_the_reference(void **state) {
    (void)state;
    enum { SMALL = 40, SAMPLES = 3, FEW = 10 };
    fixture_t f;
    set_up(&f, "resnet18", SAMPLES, SMALL, FEW);
    reference_network_t *r = make(1, sizeof *r);
    reference_network_init(r, "resnet18", SAMPLES, SMALL, SMALL, 3, FEW);
    double *parameters = to_doubles(f.parameters, f.count), *gradient = make_doubles(f.count);
    r->parameters = parameters;
    r->d_parameters = gradient;
    r->training = true;
    double loss = train(&f), expected = reference_network_run(r, f.images, f.labels, SAMPLES);
    assert_true(fabs(loss - expected) < 1e-4 * (1.0 + expected));
    for (size_t i = 0; i < model_tensor_count(f.model); i++) {
        const model_tensor_t *t = model_tensor(f.model, i);
        if (t->is_buffer) continue;
        assert_close(t->name, f.gradient + t->offset, gradient + t->offset, t->count, 1e-3);
    }
    reference_network_fini(r);
    free(r), free(parameters), free(gradient);
    tear_down(&f);
}

/* The loss along the gradient of each group of tensors: of all convolutions, all scales, ...; its
 * slope is the squared length of that part of the gradient. */
static void check_slope(fixture_t *f, int dims, double loss, const float *start,
                        const float *gradient) {
    double squared = 0.0, sides[2];
    for (size_t i = 0; i < model_tensor_count(f->model); i++) {
        const model_tensor_t *t = model_tensor(f->model, i);
        if (!t->is_buffer && t->dims == dims)
            squared += square_mean(gradient + t->offset, t->count) * (double)t->count;
    }
    double width = 5e-4 * loss / squared; /* changes the loss by 0.05 % */
    for (int side = 0; side < 2; side++) {
        memcpy(f->parameters, start, f->count * sizeof *start);
        for (size_t i = 0; i < model_tensor_count(f->model); i++) {
            const model_tensor_t *t = model_tensor(f->model, i);
            for (size_t j = t->offset; t->dims == dims && !t->is_buffer && j < t->offset + t->count;
                 j++)
                f->parameters[j] += (float)((side ? width : -width) * (double)gradient[j]);
        }
        sides[side] = train(f);
    }
    double slope = (sides[1] - sides[0]) / (2.0 * width);
    assert_true(fabs(slope / squared - 1.0) < 0.03);
}

static void the_loss_rises_along_the_gradient(void **state) {
    (void)state;
    static const char *const names[] = {"resnet50", "resnet56"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fixture_t f;
        set_up(&f, names[i], 4, 48, 10);
        double loss = train(&f);
        float *start = make_floats(f.count), *gradient = make_floats(f.count);
        memcpy(start, f.parameters, f.count * sizeof *start);
        memcpy(gradient, f.gradient, f.count * sizeof *gradient);
        for (int dims = 1; dims <= 4; dims += dims) check_slope(&f, dims, loss, start, gradient);
        free(start), free(gradient);
        tear_down(&f);
    }
}

/* With scale 0 in the last batch norm of each block, a new network is its shortcuts alone: the
 * weights of the branches have no effect, and no gradient. */
static void branches_begin_silent(void **state) {
    (void)state;
    fixture_t f;
    set_up(&f, "resnet18", 2, 48, 10);
    model_init_parameters(f.model, 3, f.parameters, f.buffers);
    double loss = train(&f);
    const model_tensor_t *branch = find(f.model, "layer3.1.conv1.weight");
    for (size_t i = 0; i < branch->count; i++) {
        assert_true(f.gradient[branch->offset + i] == 0.0f);
        f.parameters[branch->offset + i] *= 2.0f;
    }
    const model_tensor_t *scale = find(f.model, "layer3.1.bn2.weight");
    assert_true(square_mean(f.gradient + scale->offset, scale->count) > 0.0);
    assert_true(train(&f) == loss);
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_the_known_ones),
        cmocka_unit_test(names_and_shapes_are_those_of_torchvision),
        cmocka_unit_test(layers_tell_their_shape),
        cmocka_unit_test(initial_values_are_those_of_torchvision),
        cmocka_unit_test(resnet18_agrees_with_the_reference),
        cmocka_unit_test(the_loss_rises_along_the_gradient),
        cmocka_unit_test(branches_begin_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
