"""`nasexport.models`."""

from exporter.fetch.published import cached
from exporter.models import variables
from exporter.models.config import TASKS
from exporter.models.config import models as known_models
from nasexport import _settings
from nasexport._settings import Settings
from nasexport.results import ModelInfo, Models


def models(*, settings: Settings | None = None) -> Models:
    """The models that artifacts can be made of, by their names, the published ones first.

        >>> import nasexport
        >>> list(nasexport.models())
        ['nasnet_large', 'nasnet_mobile', 'pnasnet_large', 'pnasnet_mobile']
        >>> nasexport.models()["nasnet_large"].versions[4]
        'saved_model_2'

    Args:
        settings: where the cache and the lock file are; by default where the command has them.

    Raises:
        ConfigError: the lock file or the user's configuration is not valid.
    """
    entries = cached(_settings.chosen(settings))
    found = {}
    for config in known_models().values():
        entry = entries.get(config.checkpoint or "")
        found[config.name] = ModelInfo(
            name=config.name,
            title=config.title,
            published=config.published,
            versions=config.all_versions,
            image_size=config.image_size,
            features=variables.features(config),
            classes=config.num_classes,
            parameters={task: variables.parameters(config, task) for task in TASKS},
            accuracy=config.accuracy,
            checkpoint=config.checkpoint,
            cached=entry.path if entry else None,
        )
    return Models(found)
