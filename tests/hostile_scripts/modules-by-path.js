// attack: require files outside the modules, by every spelling
// came_to: {"absolute":"MODULE_NOT_FOUND","up":"MODULE_NOT_FOUND","inside":"MODULE_NOT_FOUND","scheme":"MODULE_NOT_FOUND","scoped":"MODULE_NOT_FOUND","backslash":"MODULE_NOT_FOUND","nul":["MODULE_NOT_FOUND","ERR_INVALID_ARG_VALUE"]}
function login(email, password, callback) {
  const file = configuration.secret_file;
  report(callback, {
    absolute: () => require(file),
    up: () => require('../../../../etc/passwd'),
    inside: () => require(`pg/../../../../../../../..${file}`),
    scheme: () => require(`file://${file}`),
    scoped: () => require('@babel/../../../main.mjs'),
    backslash: () => require('pg\\..\\..\\main'),
    nul: () => require('pg\0/../../../etc/passwd'),
  });
}
