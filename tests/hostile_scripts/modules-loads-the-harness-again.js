// attack: run the harness a second time inside the process, to have a second voice on the channel
// outcome: any
// deadline: 2
function login(email, password, callback) {
  const { compileFunction, constants } = process.getBuiltinModule('vm');
  const options = { importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER };
  const dynamicImport = compileFunction('return import(file)', ['file'], options);
  dynamicImport(`${configuration.harness}?again`).then(
    () => setTimeout(() => callback(null, { user_id: 1 }), 100),
    callback,
  );
}
