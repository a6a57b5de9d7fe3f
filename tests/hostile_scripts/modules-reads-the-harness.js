// attack: import the harness's own modules, to get at what they captured
// outcome: any
function login(email, password, callback) {
  const folder = configuration.harness.replace(/main\.mjs$/, '');
  import(`${folder}frames.mjs`).then(
    ({ send }) => {
      send('{"t":"result","id":"0","ok":true,"value":{"user_id":"forged"}}');
      callback(null, { user_id: 1 });
    },
    callback,
  );
}
