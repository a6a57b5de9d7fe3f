// @ts-check

export const OLD_LODASH = {
  ...{ all: 'every', any: 'some', collect: 'map', contains: 'includes', detect: 'find' },
  ...{ findWhere: 'find', foldl: 'reduce', include: 'includes', indexBy: 'keyBy' },
  ...{ inject: 'reduce', methods: 'functions', object: 'zipObject', pairs: 'toPairs' },
  ...{ pluck: 'map', select: 'filter', unique: 'uniq', where: 'filter' },
};

/** Names that lodash dropped with version 4. */
export function lodash(/** @type {any} */ exported) {
  for (const [old, name] of Object.entries(OLD_LODASH)) exported[old] ??= exported[name];
  return exported;
}
