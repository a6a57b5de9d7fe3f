// attack: debug its own process, to read the harness's variables and change them
// value: {"user_id":"attempted","found":false}
function login(email, password, callback) {
  const { Session } = process.getBuiltinModule('inspector');
  const session = new Session();
  session.connect();
  session.post('Runtime.evaluate', { expression: 'typeof receivers' }, (_, { result }) => {
    session.disconnect();
    callback(null, { user_id: 'attempted', found: result.value !== 'undefined' });
  });
}
