// attack: get at the file system through WASI, which opens folders itself
// needs: fs
// came_to: {"preopen":["refused","ERR_WASI_NOT_STARTED","UVWASI_EACCES","Error"]}
function login(email, password, callback) {
  const { WASI } = process.getBuiltinModule('wasi');
  report(callback, {
    preopen: () => void new WASI({ version: 'preview1', preopens: { '/': configuration.folder } }),
  });
}
