function login(email, password, callback) {
  const bcrypt = require('bcrypt');
  const { Connection, Request, TYPES } = require('tedious@11.0.3');
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'store',
      encrypt: true, // Azure wants it
      rowCollectionOnRequestCompletion: true
    }
  });

  connection.on('connect', (err) => {
    if (err) return callback(err);
    const request = new Request('SELECT Id, Nickname, Email, Password FROM Users WHERE Email = @Email', (err, rowCount, rows) => {
      if (err || rowCount < 1) return callback(err || new WrongUsernameOrPasswordError(email));
      const [id, nickname, mail, hash] = rows[0].map((column) => column.value);
      if (!bcrypt.compareSync(password, hash)) return callback(new WrongUsernameOrPasswordError(email));
      callback(null, { user_id: id.toString(), nickname: nickname, email: mail });
    });
    request.addParameter('Email', TYPES.NVarChar, email);
    connection.execSql(request);
  });
}
