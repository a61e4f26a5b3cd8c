"""The names of the arrays that a probe stores.

Only `exporter.probe.writer` and `exporter.probe.result` use them; other modules use the attributes of those. A name
that ends with a slash is a prefix of further names.
"""

STORED_VALUES, GRADIENT_STOPS = "file/stored_values", "file/gradient_stops"
CONCATENATIONS, POOLINGS = "concatenations/", "poolings/"
UNREAD, PROPERTIES, INTERFACE = "file/unread", "file/properties/", "file/interface"
TAG_SETS, COLLECTIONS, IMAGE_SIZES = "file/tag_sets", "file/collections", "file/image_sizes"
UPDATE_OPERATIONS, INFERENCE_UPDATE_OPERATIONS = "file/update_operations", "file/inference_update_operations"
MAIN_SIGNATURE, MOMENTUM_SETTABLE = "file/main_signature", "file/momentum_settable"

VARIABLES, TRAINING_VARIABLES, TRAINABLE = "variables/", "training_variables/", "trainable"
REPLICA_MEANS = "replica_means"
NAMES, DIGESTS, DIGESTS_AFTER = "names", "digests", "digests_after"

OUTPUT, SINGLE_OUTPUT, TRAINING_OUTPUT = "output", "single_output", "training_output"
END_POINTS, SIGNATURES, TRAINING_SIGNATURES = "end_points/", "signatures/", "training_signatures/"
SIGNATURE_INPUTS, TRAINING_SIGNATURE_INPUTS = "signature_inputs", "training_signature_inputs"

MOVING_STATISTICS = "moving_statistics/"
REGULARIZATION_LOSSES, L2_WEIGHTS = "regularization_losses", "l2_weights/"
GRADIENTS, REACHED, NOT_FINITE = "gradients/", "reached", "not_finite"
DECISIONS, INFERENCE_DECISIONS = "random_decisions/", "inference_decisions"
SHAPES, SHARES_KEPT, REPEATS = "shapes", "shares_kept", "repeats"

OUTPUT_KEYS, TRAINING_OUTPUT_KEYS = "keys/outputs/", "keys/training_outputs/"
UPDATE_KEYS, GRADIENT_KEYS = "keys/updates/", "keys/gradients/"
VALUES = "values"

#: What follows from the training graph up to the main output and the losses, and from the values of variables.
OF_GRADIENTS = (GRADIENTS, L2_WEIGHTS, REGULARIZATION_LOSSES)
#: What follows from the network of a callable object, whatever signatures it has.
OF_NETWORK = (
    *OF_GRADIENTS,
    *(OUTPUT, SINGLE_OUTPUT, END_POINTS, DECISIONS, INFERENCE_DECISIONS),
    *(TRAINING_OUTPUT, MOVING_STATISTICS, TRAINING_VARIABLES),
)
